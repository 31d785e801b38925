"""Sizes of residual blocks: those of the input where all that makes a block gives it equal ones."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
BLOCKS = """\
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


class Mlp(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.dim)(nn.gelu(nn.Dense(4 * self.dim)(x)))


class Gate(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x):
        x = x * nn.Dense(self.dim)(x)
        return x + nn.Dense(self.dim)(x)


class Block(nn.Module):
    config: dict
    dim: int

    @nn.compact
    def __call__(self, x):
        x = x + Mlp(self.dim)(nn.LayerNorm()(x))
        return nn.LayerNorm()(Gate(self.dim)(x))
"""
NET = """

class Net(nn.Module):
    config: dict
    dim: int
    first: int

    @nn.compact
    def __call__(self, x):
        {before}
        for _ in range(2):
            x = Block(self.config, {dim})(x)
        return nn.Dense(1)(x)
"""


def sizes(before: str = "x = nn.Dense(self.dim)(x)", dim: str = "self.dim", more: str = "") -> str:
    """The file with the blocks as it is afterwards."""
    path = Path("/project/model.py")
    texts, _ = fix_files({path: BLOCKS + NET.format(before=before, dim=dim) + more}, RULES)
    assert "class Block(nnx.Module)" in texts[path]
    return texts[path].partition("class Net(")[0]


@pytest.mark.parametrize(
    ("before", "dim"),
    [
        ("x = nn.Dense(self.dim)(x)", "self.dim"),
        ("x = nn.Dense(4 * self.dim)(x)", "self.dim * 4"),
        ("x = nn.Dense(8)(x)", "dim=8"),
        ("x = nn.Dense(self.dim)(x)\n        x = Block(self.config, self.dim)(x)", "self.dim"),
    ],
)
def test_blocks_whose_input_always_has_their_own_size(before: str, dim: str) -> None:
    """The modules that a block holds get the size of its input, too, and agree in turn."""
    assert "max(" not in sizes(before, dim)


@pytest.mark.parametrize(
    ("before", "dim"),
    [
        ("x = nn.Dense(1)(x)", "self.dim"),
        ("x = nn.Dense(self.first)(x)", "self.dim"),
        ("x = nn.Dense(self.dim)(x)\n        y = Block(self.config, 8)(x)\n        x = x + y", "self.dim"),
        ("pass", "self.dim"),
    ],
)
def test_blocks_whose_input_may_have_another_size(before: str, dim: str) -> None:
    """One of the two sizes may be 1 there, which the code of the block allows."""
    assert "max(" in sizes(before, dim)


@pytest.mark.parametrize(
    "more",
    [
        "\n\nprint(Block({}, 4).init(jax.random.key(0), jnp.ones((2, 1))))\n",
        "\n\nmake = partial(Block, {})\n",
        "\n\nclass Other(Block):\n    pass\n",
    ],
)
def test_what_else_makes_blocks_may_give_them_other_sizes(more: str) -> None:
    """Programs choose the sizes of their inputs."""
    assert "max(" in sizes(more=more)
