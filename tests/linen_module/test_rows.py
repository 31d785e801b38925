"""Rows of an array that an argument picks: by their numbers, or by truth values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    @nn.compact
    def __call__(self, nodes, rows):
        x = nn.Dense(4)(jnp.reshape(nodes, (8, 2)))
        {vector}
        return nn.Dense(3)({picked})
"""
VECTOR = "jax.ops.segment_sum(jnp.ones(8), rows, num_segments=3)"


@pytest.mark.parametrize(
    ("vector", "picked", "moves"),
    [
        (VECTOR, "x[rows]", True),
        (VECTOR, "jnp.concatenate([x[rows], x[rows]], -1)", True),
        (VECTOR, "x[:, rows]", False),
        (VECTOR, "x[rows].reshape(2, -1)", False),
        ("pass", "x[rows]", True),
    ],
)
def test_rows_that_a_vector_picks_keep_their_features(
    tmp_path: Path, vector: str, picked: str, moves: bool
) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(vector=vector, picked=picked))
    _, conversions = convert(path)
    assert ("model.Model" in conversions.converted) is moves
