"""Functions within methods that the interpreter doesn't run, and which make modules by a table, a function, a field."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class Sine(nn.Module):
    size: int

    @nn.compact
    def __call__(self, x):
        return jnp.sin(nn.Dense(self.size)(x))


class Tanh(nn.Module):
    size: int

    @nn.compact
    def __call__(self, x):
        return jnp.tanh(nn.Dense(self.size)(x))


TABLE = {"sine": Sine, "tanh": Tanh}
LAYERS = {"plain": partial(nn.Dense, use_bias=False)}
FUNCTIONS = {"relu": nn.relu, "tanh": nn.tanh}


class Holder:
    table = TABLE


def find(kind):
    return TABLE[kind]


def activation(kind):
    return FUNCTIONS[kind]


class Net(nn.Module):
    kind: str
    block: Any = Sine

    @nn.compact
    def __call__(self, x):
        y = nn.Dense(3)(x)
        MADE
        return y + jax.grad(lambda v: USE)(x)
"""


def _is_converted(tmp_path: Path, use: str, made: str = "pass") -> bool:
    path = tmp_path / "model.py"
    path.write_text(MODEL.replace("USE", use).replace("MADE", made))
    _, conversions = convert(path)
    return "model.Net" in conversions.converted


@pytest.mark.parametrize(
    "use",
    [
        "TABLE[self.kind](3)(v).sum()",
        "TABLE.get(self.kind)(3)(v).sum()",
        "LAYERS[self.kind](3)(v).sum()",
        "Holder.table[self.kind](3)(v).sum()",
        "find(self.kind)(3)(v).sum()",
        "self.block(3)(v).sum()",
        "getattr(nn, 'Dense')(3)(v).sum()",
        "sum(make(3)(v).sum() for make in TABLE.values())",
    ],
)
def test_modules_that_would_be_made_there(tmp_path: Path, use: str) -> None:
    assert not _is_converted(tmp_path, use)


@pytest.mark.parametrize("made", ["make = TABLE[self.kind]", "make = partial(TABLE[self.kind], 3)"])
def test_variables_that_stand_for_a_class(tmp_path: Path, made: str) -> None:
    assert not _is_converted(tmp_path, "make(3)(v).sum()", made)


@pytest.mark.parametrize(
    "use", ["FUNCTIONS[self.kind](v).sum()", "activation(self.kind)(v).sum()", "jax.vmap(jnp.sum)(v).sum()"]
)
def test_functions_from_tables(tmp_path: Path, use: str) -> None:
    assert _is_converted(tmp_path, use)
