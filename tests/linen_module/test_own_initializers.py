"""Initializers of the project, whose code doesn't show a shape: what they give may not be what they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def loop(key, shape):
    parts = []
    for _ in range(shape[0]):
        key, sub = jax.random.split(key)
        parts.append(jax.random.normal(sub, shape[1:]))
    return {result}


def steps(key, given):
    size, low, high = given
    made = []
    for _ in range(size):
        key, sub = jax.random.split(key)
        made.append(jax.random.uniform(sub, (1,)) * (high - low) + low)
    return jnp.array(made)


class Net(nn.Module):
    width: int
    low: float = 0.1

    @nn.compact
    def __call__(self, x):
        weights = self.param("weights", {init}, {shape})
        return nn.Dense(3)(x @ weights)
"""
SHAPE = "(x.shape[-1], self.width)"


def refusals(result: str, init: str, shape: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(result=result, init=init, shape=shape))
    return [refusal.reason for refusal in convert(path)[1].refused.values()]


def test_most_give_what_they_are_asked_for(tmp_path: Path) -> None:
    assert not refusals("np.asarray(parts)", "loop", SHAPE, tmp_path)
    assert not refusals("np.asarray(parts)", "lambda key, shape: loop(key, shape)", SHAPE, tmp_path)


@pytest.mark.parametrize(
    ("result", "init", "shape"),
    [
        ("np.stack(parts + parts, axis=-1)", "loop", SHAPE),
        ("np.asarray(parts)[..., None]", "loop", SHAPE),
        ("np.asarray(parts).T", "loop", SHAPE),
        ("np.asarray(parts)", "lambda key, shape: np.concatenate([loop(key, shape)] * 2, -1)", SHAPE),
        ("np.asarray(parts)", "steps", "(self.width, self.low, 1.0)"),
    ],
)
def test_some_do_not(result: str, init: str, shape: str, tmp_path: Path) -> None:
    assert refusals(result, init, shape, tmp_path) == ["unknown-size"]
