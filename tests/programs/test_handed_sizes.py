"""Sizes of what modules give that programs hand to others."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Torso(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Other(nn.Module):
    size: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.size)(x)


class Fixed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(5)(x)


class Alike(nn.Module):
    width: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(self.width)(x))


class Model(nn.Module):
    torso: nn.Module

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(self.torso(x))


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")


def fixed(code: str) -> str:
    return fix_files({PATH: MODEL + code}, resolve_rules(["linen-module"]))[0][PATH]


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("Model(Torso(8)).init(key, x)\n", "self.torso.width"),
        ("from lib import c\nModel(Torso(**c)).init(key, x)\n", "self.torso.width"),
        ("Model(Torso(8)).init(key, x)\nModel(Alike()).init(key, x)\n", "self.torso.width"),
        ("Model(Fixed()).init(key, x)\n", "5"),
    ],
)
def test_sizes_are_read_from_the_module(code: str, size: str) -> None:
    assert f"self.dense = nnx.Linear({size}, 3, rngs=rngs)" in fixed(code)


@pytest.mark.parametrize(
    "code",
    [
        "Model(Torso(8)).init(key, x)\nModel(Other(8)).init(key, x)\n",
        "Model(Torso(8)).init(key, x)\nModel(Fixed()).init(key, x)\n",
        "from lib import torso\nModel(Torso(8)).init(key, x)\nModel(torso).init(key, x)\n",
        "from functools import partial\nmake = partial(Model, Torso(8))\nmake().init(key, x)\n",
        "class Outer(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n"
        "        return Model(Fixed())(x)\nModel(Torso()).init(key, x)\nOuter().init(key, x)\n",
    ],
)
def test_sizes_that_differ_or_are_not_known(code: str) -> None:
    assert "class Model(nn.Module)" in fixed(code)
