"""Values that go to other functions: computed from arrays or plain, they stay; what may be a module keeps the class."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
from functools import partial
from typing import Any, Callable

import distrax
import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
from omegaconf import DictConfig

import zoo
from zoo import Encoder, find


def passed(value):
    return value


def canonical(axes):
    if isinstance(axes, (list, tuple)):
        return tuple(axes)
    return (axes,)


def halved(array):
    return zoo.split(array)


def expanded(value):
    if value.ndim == 2:
        value = value.unsqueeze(1)
    while value.ndim < 4:
        value = value.unsqueeze(0)
    return value


class Line(nn.Module):
    low: float = 0.0
    high: float = 1.0

    def __call__(self, t):
        return self.low + (self.high - self.low) * t

    def made(self, size):
        return Encoder(size)


class Curve(nn.Module):
    @nn.compact
    def __call__(self, t):
        return self.param("power", nn.initializers.ones, ()) * t

    def made(self, size):
        return 3


class Model(nn.Module):
    kind: str
    size: int
    axes: Any
    act: Callable

    def setup(self):
        self.dense = nn.Dense(3)
        if self.kind == "line":
            self.scale = Line()
        else:
            self.scale = Curve()

    @staticmethod
    def length(size):
        return (size - 2) // 2 + 1

    @staticmethod
    def found(size):
        return Encoder(size)

"""
CALL = """\
    def __call__(self, x, train: bool = False):
        {}
        return zoo.run(kept, self.dense(x)) + self.scale(x)
"""

DATA = {
    "several axes of an array": "kept = zoo.widened(self.act)[:, 0]",
    "all but the last axis": "kept = zoo.widened(self.act)[..., 0]",
    "an update of an array": "kept = zoo.zeros(self.size).at[:, 0].set(1.0)",
    "an unknown function of an array": "kept = zoo.split(x)",
    "an unknown function of its own result": (
        "kept = x\n        for _ in range(3):\n            kept = self.act(zoo.mixed(kept))"
    ),
    "a variable that starts with None": (
        "kept = None\n        for _ in range(3):\n            kept = zoo.mixed(x if kept is None else kept)"
    ),
    "an alias": "first = zoo.split(x)\n        kept = first",
    "one of two modules": "kept = self.scale(0.5)",
    "a distribution's method": "mean = self.dense(x)\n        kept = distrax.Normal(mean, 1.0).entropy()",
    "a library's object": "kept = e3nn.Irreps(self.kind).simplify()",
    "a configuration": "kept = DictConfig({'size': self.size})",
    "a function of plain values": "kept = canonical(self.axes)",
    "a function of arrays": "kept = halved(x)",
    "methods of an array in a function": "kept = expanded(x)",
    "methods of an array by its name": "kept = expanded(value=x)",
    "a function within": (
        "def step(t):\n            return zoo.split(x + t)\n\n        kept = step(3.0)"
    ),
    "a static method": "kept = self.length(self.size)",
    "the model itself": "kept = passed(self.dense(x))",
    "a filled list": (
        "parts = []\n        for _ in range(3):\n            parts.append(zoo.split(x))\n        kept = zoo.joined(parts)"
    ),
}  # fmt: skip

PERHAPS_MODULES = {
    "made from a flag": "kept = Encoder(train)",
    "made from the opposite of a flag": "kept = Encoder(training=not train)",
    "made from a size": "kept = Encoder(x.shape[-1])",
    "made from a type": "kept = Encoder(dtype=x.dtype)",
    "made from a rank": "kept = find(x.ndim)",
    "made from the model": "kept = Encoder(self)",
    "made from an initializer": "kept = Encoder(jax.nn.initializers.normal())",
    "made from a type of an array": "kept = Encoder(jnp.result_type(self.kind))",
    "an alias": "first = Encoder(self.kind)\n        kept = first",
    "an element": "kept = [Encoder(self.kind)][0]",
    "a slice of a list": "kept = [Encoder(i) for i in range(self.size)][1:]",
    "an element by two keys": "kept = {(0, 1): Encoder(self.kind)}[0, 1]",
    "a sum of lists": "kept = [Encoder(1)] + [Encoder(2)]",
    "a repeated list": "kept = [Encoder(1)] * self.size",
    "handed through a function": "kept = passed(Encoder(self.kind))",
    "one of two": "kept = x\n        if self.size:\n            kept = Encoder(self.kind)",
    "in a tuple with an array": "kept = (x, Encoder(self.kind))",
    "in a list that is filled": (
        "parts = []\n        parts.append(Encoder(self.kind))\n        kept = zoo.joined(parts)"
    ),
    "a method of one of two modules": "kept = self.scale.made(self.size)",
    "methods of a flag in a function": "kept = expanded(train)",
    "methods of a field in a function": "kept = expanded(self.act)",
    "a function within": "def made(t):\n            return Encoder(t)\n\n        kept = made(3)",
    "a static method": "kept = self.found(self.size)",
    "in a loop with itself": (
        "kept = None\n        for _ in range(3):\n            kept = Encoder(self.kind) if kept is None else kept"
    ),
    "of a library with Flax": "kept = e3nn.flax.Linear(self.kind)",
    "a copy": "kept = Encoder(self.kind).copy()",
}


def _reasons(tmp_path: Path, code: str) -> list[str]:
    path = tmp_path / "model.py"
    path.write_text(code)
    _, conversions = convert(path)
    return [r.reason for name, r in conversions.refused.items() if name.endswith("Model")]


@pytest.mark.parametrize("made", DATA)
def test_arrays_and_plain_values_are_handed_on(tmp_path: Path, made: str) -> None:
    assert _reasons(tmp_path, HEADER + CALL.format(DATA[made])) == []


@pytest.mark.parametrize("made", PERHAPS_MODULES)
def test_what_may_be_a_module_is_not(tmp_path: Path, made: str) -> None:
    assert _reasons(tmp_path, HEADER + CALL.format(PERHAPS_MODULES[made])) == ["unknown-module"]


@pytest.mark.parametrize(
    ("declared", "reasons"),
    [
        ("size: int", ["unknown-module"]),
        ("size='small'", ["unknown-module"]),
        ("deterministic=None", ["unknown-module"]),
        ("size: jnp.ndarray", []),
        ("size=None", []),
    ],
)
def test_arguments_are_arrays_unless_they_are_declared_as_something_else(
    tmp_path: Path, declared: str, reasons: list[str]
) -> None:
    name = declared.partition(":")[0].partition("=")[0]
    code = CALL.format(f"kept = find({name})").replace("train: bool = False", declared)
    assert _reasons(tmp_path, HEADER + code) == reasons


def test_parts_of_other_packages_with_modules_are_told_apart(tmp_path: Path) -> None:
    header = HEADER.replace("import zoo\n", "import einops\nimport zoo\n", 1)
    made = "mix = einops.layers.flax.EinMix\n        kept = mix(self.kind)"
    assert _reasons(tmp_path, header + CALL.format(made)) == ["unknown-module"]
