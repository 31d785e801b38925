"""Programs that depend on the order of the leaves of their parameters, where new names change it."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
LOOP = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        for width in (5, 4):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(2)(x)
"""
NAMED = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(5, name="a_first")(x))
        return nn.Dense(2)(x)
"""
ALIKE = NAMED.replace("a_first", "first")
PROGRAM = """\
import jax
import jax.numpy as jnp
from models import Net

model = Net()
params = model.init(jax.random.key(0), jnp.ones((1, 3)))
leaves, structure = jax.tree_util.tree_flatten(params)
"""
PICKED = "print(leaves[0].shape)\n"
SPLIT = "keys = jax.random.split(jax.random.key(1), len(leaves))\n"
COUNTED = "keys = jax.random.split(jax.random.key(1), num=structure.num_leaves)\n"


FIRST = "print(next(iter(params['params'].values())))\n"


def fixed(models: str, program: str) -> tuple[str, list[str]]:
    """The models as they are afterwards, and the messages about what is not converted."""
    path = Path("/project/models.py")
    texts, result = fix_files({path: models, Path("/project/main.py"): PROGRAM + program}, RULES)
    return texts[path], [finding.message for finding in result.remaining.findings]


@pytest.mark.parametrize("program", [PICKED, SPLIT, COUNTED, FIRST])
def test_lists_of_layers_have_another_order(program: str) -> None:
    _, left = fixed(LOOP, program)
    assert any("it depends on the order of parameters" in message for message in left)


@pytest.mark.parametrize("program", [PICKED, SPLIT, COUNTED])
def test_names_of_linen_keep_the_order(program: str) -> None:
    models, left = fixed(NAMED, program)
    assert "self.Dense_0 = nnx.Linear(5, 2, rngs=rngs)" in models and left == []


@pytest.mark.parametrize("program", [PICKED, SPLIT, COUNTED])
def test_names_that_sort_alike_may_change(program: str) -> None:
    models, left = fixed(ALIKE, program)
    assert "self.dense = nnx.Linear(5, 2, rngs=rngs)" in models and left == []


@pytest.mark.parametrize(
    "program",
    ["keys = jax.random.split(jax.random.key(1), len(range(3)))\n", "print(next(iter(range(3))))\n"],
)
def test_other_counts(program: str) -> None:
    models, left = fixed(LOOP, program)
    assert "nnx.List" in models and left == []
