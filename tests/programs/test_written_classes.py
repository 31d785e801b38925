"""Names of parameters beside classes that are NNX already, by hand or by an earlier pass."""

from pathlib import Path

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
NETWORK = """\
class Network(nnx.Module):
    def __init__(self, in_features: int, rngs: nnx.Rngs):
        self.Dense = nnx.List([nnx.Linear(in_features, 4, rngs=rngs)])

    def __call__(self, x):
        return self.Dense[0](x)
"""
ACTOR = """\
class Actor(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x)
"""
READ = """\
def ready(params):
    params["Dense_0"]["kernel"].block_until_ready()
"""
MADE = 'actor = Actor()\nparams = actor.init(jax.random.key(0), jnp.ones((1, 4)))["params"]\n'
HEAD = "import jax\nimport jax.numpy as jnp\nfrom flax import linen as nn\nfrom flax import nnx\n\n\n"


def fixed(files: dict[str, str]) -> dict[str, str]:
    texts, _ = fix_files({Path(f"/project/{name}"): text for name, text in files.items()}, RULES)
    return {path.name: text for path, text in texts.items()}


def test_names_that_may_be_theirs_stay() -> None:
    text = fixed({"main.py": f"{HEAD}{NETWORK}\n\n{ACTOR}\n\n{READ}\n\n{MADE}"})["main.py"]
    assert "class Actor(nnx.Module)" in text
    assert 'params["Dense_0"]' in text and "self.Dense_0 = nnx.Linear(4, 2" in text.replace(
        "in_features", "4"
    )


def test_names_in_files_of_their_own_stay() -> None:
    files = {"network.py": f"{HEAD}{NETWORK}\n\n{READ}", "actor.py": f"{HEAD}{ACTOR}\n\n{MADE}"}
    after = fixed(files)
    assert after["network.py"] == files["network.py"]
    assert "self.dense = nnx.Linear(" in after["actor.py"]


def test_names_in_other_files_change() -> None:
    files = {"ready.py": f"import jax\n\n\n{READ}", "actor.py": f"{HEAD}{ACTOR}\n\n{MADE}"}
    assert 'params["dense"]' in fixed(files)["ready.py"]
