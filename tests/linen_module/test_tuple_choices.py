"""Tuples whose length a condition decides, and objects with named parts: what is read of them, and what isn't known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = """
import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp


class Output(NamedTuple):
    state: jnp.ndarray
    weights: jnp.ndarray


class Changed(NamedTuple):
    state: jnp.ndarray

    def __new__(cls, state):
        return super().__new__(cls, state[..., :2])


@dataclasses.dataclass
class Counted:
    state: jnp.ndarray
    width: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.state = self.state[..., :2]


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x, more: bool = False):
        y, w = nn.Dense(4)(x), nn.Dense(5)(x)
        RESULT


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, more: bool = False):
        outputs = Pair()(x, more)
        return nn.Dense(3)(READ)
"""

READ = {
    "the item that all have": ("return (y, w) if more else (y,)", "outputs[0]", 4),
    "the item that only one has": ("return (y, w) if more else (y,)", "outputs[1]", 5),
    "the last item": ("return (w, y) if more else (y,)", "outputs[-1]", 4),
    "a tuple that grows": (
        "outputs = (y,)\n        if more:\n            outputs += (w,)\n        return outputs",
        "outputs[0]",
        4,
    ),
    "what follows the first": ("return (w, y) if more else (w, y, w)", "outputs[1:][0]", 4),
    "returns of two lengths": ("if more:\n            return y, w\n        return (y,)", "outputs[0]", 4),
    "values that are given": (
        "outputs = (y, w if more else None, None)\n        return tuple(v for v in outputs if v is not None)",
        "outputs[0]",
        4,
    ),
    "a part by its name": ("return Output(y, weights=w)", "outputs.weights", 5),
    "a part by its position": ("return Output(weights=w, state=y)", "outputs[0]", 4),
    "an object or a tuple": ("return (y,) if more else Output(y, w)", "outputs[0]", 4),
}

NOT_KNOWN = {
    "items that differ": ("return (y, w) if more else (w,)", "outputs[0]"),
    "the last of several": ("return (y, w) if more else (y,)", "outputs[-1]"),
    "values that may be given": (
        "outputs = (y if more else None, w)\n        return tuple(v for v in outputs if v is not None)",
        "outputs[0]",
    ),
    "a class that changes what it gets": ("return Changed(y)", "outputs.state"),
    "a dataclass that changes what it gets": ("return Counted(y)", "outputs.state"),
}


def _converted(folder: Path, result: str, read: str) -> tuple[str, dict[str, str]]:
    path = folder / "models.py"
    path.write_text(HEAD.replace("RESULT", result).replace("READ", read))
    after, conversions = convert(path)
    return after, {name: refusal.reason for name, refusal in conversions.refused.items()}


@pytest.mark.parametrize("case", READ)
def test_parts(tmp_path: Path, case: str) -> None:
    """What is read tells which tuple it can be, so the next layer gets the size of that part."""
    result, read, size = READ[case]
    after, refused = _converted(tmp_path, result, read)
    assert not refused
    assert f"nnx.Linear({size}, 3, rngs=rngs)" in after


@pytest.mark.parametrize("case", NOT_KNOWN)
def test_parts_not_known(tmp_path: Path, case: str) -> None:
    """Where the alternatives differ in what is read, or a class does more than to hold it, the size isn't known."""
    after, refused = _converted(tmp_path, *NOT_KNOWN[case])
    assert refused == {"models.Model": "unknown-size"}
    assert "class Model(nn.Module)" in after
