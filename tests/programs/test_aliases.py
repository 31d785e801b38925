"""Classes under other names: aliases, attributes of classes, names of other files, defaults, comparisons."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
MODELS = """\
import flax.linen as nn


class Small(nn.Module):
    n: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.n)(x)


class Big(nn.Module):
    n: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.n)(nn.relu(nn.Dense(9)(x)))
"""
HEAD = """\
import jax
import jax.numpy as jnp
import models
from models import Big, Small

"""
USE = """
variables = model.init(jax.random.key(0), jnp.ones((1, 3)))
model.apply(variables, jnp.ones((1, 3)))
"""
FIRST, SECOND = Path("/project/models.py"), Path("/project/main.py")


def fixed(program: str, models: str = MODELS, **others: str) -> tuple[dict[Path, str], list[str]]:
    """The files after the fix, and the messages of what is left."""
    files = {Path(f"/project/{name}.py"): text for name, text in others.items()}
    texts, result = fix_files({FIRST: models, SECOND: HEAD + program + USE, **files}, RULES)
    return texts, [finding.message for finding in result.remaining.findings]


@pytest.mark.parametrize(
    ("program", "written"),
    [
        (
            "if jax.device_count() > 3:\n    Net = Big\nelse:\n    Net = Small\nmodel = Net(2)\n",
            ["    Net = Functional.maker(Big, ", "    Net = Functional.maker(Small, ", "model = Net(2)\n"],
        ),
        (
            "def build(big):\n    cls = models.Small\n    if big:\n        cls = models.Big\n    return cls(2)\n"
            "model = build(True)\n",
            ["cls = Functional.maker(models.Small, ", "cls = Functional.maker(models.Big, ", "return cls(2)"],
        ),
        (
            "class Agent:\n    kind = Small\n    def __init__(self):\n        self.net = self.kind(2)\n"
            "class Other(Agent):\n    kind = Big\nmodel = Other().net\n",
            ["    kind = Functional.maker(Small, ", "    kind = Functional.maker(Big, ", "self.kind(2)"],
        ),
        ("Net = Small\nmodel = Net(2)\n", ["Net = Small\n", "model = Functional(Net, 2, in_features=3)"]),
    ],
)
def test_aliases_make_functionals(program: str, written: list[str]) -> None:
    texts, _ = fixed(program)
    assert "class Small(nnx.Module)" in texts[FIRST]
    assert all(text in texts[SECOND] for text in written), texts[SECOND]


def test_classes_that_a_package_gives_another_name() -> None:
    """`lib.Net` in files that don't say what the class is called where it stands."""
    texts, _ = fixed(
        "import lib\nmodel = lib.Net(2)\n",
        lib="from models import Small as Net\nfrom models import Big\nLarge = Big\n",
        other="import lib\n\n\ndef build():\n    return lib.Large(3), lib.Net(n=4)\n",
    )
    assert "class Small(nnx.Module)" in texts[FIRST] and "class Big(nnx.Module)" in texts[FIRST]
    assert "model = Functional(lib.Net, 2, in_features=3)" in texts[SECOND]
    other = texts[Path("/project/other.py")].replace("\n", " ")
    assert other.count("Functional(") == 2


@pytest.mark.parametrize(
    "program",
    [
        "model = Small(2)\nprint(type(model) is Small)\n",
        "model = Small(2)\nprint(type(model) in (Small, Big))\n",
        "model = Small(2)\nprint(issubclass(type(model), (Small, Big)))\n",
    ],
)
def test_classes_that_are_compared_stay(program: str) -> None:
    texts, left = fixed(program)
    assert "class Small(nn.Module)" in texts[FIRST]
    assert any("compared with" in m or "is asked for" in m or "`issubclass`" in m for m in left), left


def test_modules_as_defaults_of_fields_stay() -> None:
    """A converted class has no instance before there are sizes and keys."""
    models = MODELS + (
        "\n\nclass Pair(nn.Module):\n    left: nn.Module\n    right: nn.Module = Small(3)\n\n"
        "    @nn.compact\n    def __call__(self, x):\n        return self.left(x).sum() + self.right(x).sum()\n"
    )
    texts, left = fixed("model = models.Pair(Small(2))\n", models)
    assert "class Pair(nn.Module)" in texts[FIRST] and "class Small(nn.Module)" in texts[FIRST]
    assert any("the default of field `right` makes a module" in message for message in left)


def test_no_linen_copy_of_classes_that_isinstance_asks_for() -> None:
    """A filter of captured outputs gets the copies, which aren't instances of the converted class."""
    models = MODELS + (
        "\n\nclass Net(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n        return Small(3)(x)\n"
    )
    texts, left = fixed(
        "model = models.Net()\nv = model.init(jax.random.key(0), jnp.ones((1, 3)))\n"
        "model.apply(v, jnp.ones((1, 3)), capture_intermediates=lambda module, _: isinstance(module, Small))\n",
        models,
    )
    assert "class Small(nn.Module)" in texts[FIRST] and "LinenSmall" not in texts[FIRST]
    assert any("`isinstance` asks for it" in message for message in left)


def test_a_name_of_another_file_that_is_assigned_anew() -> None:
    texts, left = fixed(
        "import config\nconfig.MODEL = Big\nmodel = config.MODEL(2)\n",
        config="import models\nMODEL = models.Small\n",
    )
    assert "class Small(nn.Module)" in texts[FIRST]
    assert any("one assignment of `config.MODEL` means it" in message for message in left)
