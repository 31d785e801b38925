"""How constructions outside of modules are laid out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

NET = """\
import flax.linen as nn
import jax, jax.numpy as jnp


class Critic(nn.Module):
    hidden_dims: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation, action):
        return nn.Dense(self.hidden_dims)(jnp.concatenate([observation, action], axis=-1))


def make(config, observations, actions):
    critic_model = {construction}
    return critic_model, critic_model.init(jax.random.key(0), observations, actions)
"""
EXPLODED = """\
    critic_model = Functional(
        Critic,
        config.hidden_dims,
        layer_norm=(config.norm),
        action_features=actions.shape[-1],
        observation_features=observations.shape[-1],
    )
"""


@pytest.mark.parametrize(
    "construction",
    [
        "Critic(config.hidden_dims, layer_norm=(config.norm))",
        "Critic(\n        config.hidden_dims, layer_norm=(config.norm)\n    )",
        "Critic(\n        config.hidden_dims,\n        layer_norm=(config.norm),\n    )",
        "Critic(\n        config.hidden_dims,\n        layer_norm=(config.norm)\n    )",
    ],
)
def test_arguments_too_long_for_one_line_get_lines_of_their_own(construction: str) -> None:
    path = Path("/project/train.py")
    texts, _ = fix_files({path: NET.format(construction=construction)}, resolve_rules(["linen-module"]))
    assert EXPLODED in texts[path].replace("-1]\n    )", "-1],\n    )")


MADE = """\
import flax.linen as nn
import jax, jax.numpy as jnp


class Net(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


def module(name, net, inputs, seed=0):
    return net.init(jax.random.key(seed), inputs)


variables = module(
    {arguments}
)
"""


SIZED = '.sized(lambda x: {"in_features": x.shape[-1]})'


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('"net", Net(), jnp.ones(2)', f'"net", Functional(Net){SIZED}, jnp.ones(2)'),
        (
            '"net", Net(), inputs=jnp.ones((1, 2), dtype=jnp.float32)',
            f'"net",\n    Functional(Net){SIZED},\n    inputs=jnp.ones((1, 2), dtype=jnp.float32),',
        ),
        (
            '"net", Net(), inputs=jnp.ones((1, 2), dtype=jnp.float32),',
            f'"net",\n    Functional(Net){SIZED},\n    inputs=jnp.ones((1, 2), dtype=jnp.float32),',
        ),
        (
            'name="net", inputs=jnp.ones((1, 2), dtype=jnp.float32), net=Net(width=4)',
            f'name="net",\n    inputs=jnp.ones((1, 2), dtype=jnp.float32),\n    net=Functional(Net, width=4){SIZED},',
        ),
    ],
)
def test_constructions_among_other_arguments(arguments: str, expected: str) -> None:
    path = Path("/project/train.py")
    texts, _ = fix_files({path: MADE.format(arguments=arguments)}, resolve_rules(["linen-module"]))
    assert f"module(\n    {expected}\n)" in texts[path]


HANDED = """\
import flax.linen as nn
import jax, jax.numpy as jnp


class Net(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Head(nn.Module):
    net: nn.Module
    classes: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(self.net(x))


model = {construction}
print(jax.tree.map(jnp.shape, model.init(jax.random.key(0), jnp.ones((1, 2)))))
"""


@pytest.mark.parametrize(
    "construction",
    [
        "Head(Net(width=3), classes=4)",
        "Head(\n    Net(width=3),\n    classes=4,\n)",
        "Head(\n    Net(width=3), classes=4\n)",
        "Head(  # the first one\n    Net(3),\n    4,\n)",
        "Head(\n    (Net(3)),\n    classes=4,\n)",
        "Head(\n    Net(width=3_000_000_000 // 1_000_000_000), classes=(4_000_000_000 // 1_000_000_000)\n)",
    ],
)
def test_a_module_that_is_the_first_argument_of_another_one(tmp_path: Path, construction: str) -> None:
    path = tmp_path / "train.py"
    texts, _ = fix_files({path: HANDED.format(construction=construction)}, resolve_rules(["linen-module"]))
    assert "class Head(nnx.Module)" in texts[path]
    for place, text in texts.items():
        place.write_text(text)
    run = [sys.executable, path.name]
    result = subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "'kernel': (2, 3)" in result.stdout and "'kernel': (3, 4)" in result.stdout
