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


class ModelOutput:
    def __getitem__(self, index):
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return tuple(value for value in values if value is not None)[index]


@dataclasses.dataclass
class Given(ModelOutput):
    state: jnp.ndarray = None
    weights: jnp.ndarray = None


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
    "the rest of an output": ("return (w, y) + Given(y, w)[1:]", "outputs[2]", 5),
    "an output or a tuple with its rest": (
        "given = Given(y, w)\n        return (y,) + given[1:] if more else given",
        "outputs[1]",
        5,
    ),
    "an output with a part that may be missing": (
        "states = (y,) if more else None\n        return Given(w, states)",
        "outputs[0]",
        5,
    ),
    "tuples that are there on demand": (
        "states = () if more else None\n        if more:\n            states += (y,)\n"
        "        return tuple(v for v in (w, states, states, states, states) if v is not None)",
        "outputs[0]",
        5,
    ),
    "nothing from a layer that is left out": (
        "return (None, None) if more else (y, w)",
        "outputs[1]",
        5,
    ),
}

NOT_KNOWN = {
    "items that differ": ("return (y, w) if more else (w,)", "outputs[0]"),
    "the last of several": ("return (y, w) if more else (y,)", "outputs[-1]"),
    "values that may be given": (
        "outputs = (y if more else None, w)\n        return tuple(v for v in outputs if v is not None)",
        "outputs[0]",
    ),
    "an array or a tuple, of which an item is read": ("return (y,) if more else ((w, y),)", "outputs[0][0]"),
    "an array or a tuple, of which all are put together": (
        "return (y,) if more else ((w, w),)",
        "jnp.concatenate(outputs[0], axis=-1)",
    ),
    "an output whose first part may be missing": ("return Given(y if more else None, w)", "outputs[0]"),
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


LOOPS = {
    "a tuple in several lengths": "outputs = (x, x) if more else (x,)",
    "an output or a tuple": "outputs = Given(x, x) if more else (x,)",
}


@pytest.mark.parametrize("case", LOOPS)
def test_tuples_that_a_loop_replaces(tmp_path: Path, case: str) -> None:
    """The layer of the second round gets what the first one has left: another size than that of the input."""
    path = tmp_path / "models.py"
    loop = f"""
class Model(nn.Module):
    depth: int = 3

    @nn.compact
    def __call__(self, x, more: bool = False):
        {LOOPS[case]}
        for i in range(self.depth):
            y = nn.Dense(4)(outputs[0])
            outputs = (y, y) if more else (y,)
        return outputs[0]
"""
    path.write_text(HEAD.partition("class Pair")[0] + loop)
    after, conversions = convert(path)
    assert {name: refusal.reason for name, refusal in conversions.refused.items()} == {
        "models.Model": "unknown-size"
    }
    assert "class Model(nn.Module)" in after


def test_arrays_that_may_be_none_in_a_loop(tmp_path: Path) -> None:
    """What is an array or None before a loop has another size in its second round, like any other array."""
    path = tmp_path / "models.py"
    path.write_text("""
import flax.linen as nn


class Model(nn.Module):
    depth: int = 3
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        state = self.param("state", nn.initializers.zeros, (1,)) if self.use_bias else None
        for i in range(self.depth):
            y = nn.Dense(4)(state)
            state = y if self.use_bias else None
        return y
""")
    after, conversions = convert(path)
    assert not conversions.refused
    assert "nnx.Linear(state_features, 4, rngs=rngs)" in after
    assert "state_features = 4" in after


def test_a_value_that_is_unknown_on_one_path(tmp_path: Path) -> None:
    """Where one path leaves something unknown, what the other one leaves isn't known to be there."""
    path = tmp_path / "models.py"
    path.write_text("""
import flax.linen as nn
from elsewhere import changed


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, more: bool = False, other: bool = False):
        outputs = (x, x) if more else (x,)
        if other:
            outputs = changed(x)
        return nn.Dense(4)(outputs[0])
""")
    after, conversions = convert(path)
    assert {name: refusal.reason for name, refusal in conversions.refused.items()} == {
        "models.Model": "unknown-size"
    }
    assert "class Model(nn.Module)" in after
