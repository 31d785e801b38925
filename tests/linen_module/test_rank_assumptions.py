"""What conditions and names say about arrays: their rank, their sizes, and whether an index holds numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = """
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, y, item_ids):
        BODY
        return nn.Dense(3)(h)
"""

KNOWN = {
    "a number or an array without axes": (
        "if jnp.isscalar(x) or x.ndim == 0:\n            h = x * jnp.ones((1, 5))\n"
        "        else:\n            h = x.reshape(-1, 5)",
        "5",
    ),
    "no other rank is left": (
        "z = jnp.matmul(x, jnp.ones((4, 6)))\n        if z.ndim != 1:\n            raise ValueError()\n"
        "        h = z[:, None] * jnp.ones((1, 7))",
        "7",
    ),
    "negated": (
        "if not len(x.shape) == 1:\n            h = jnp.ones((2, 5))\n        else:\n            h = x[:, None] * jnp.ones((1, 5))",
        "5",
    ),
    "a stated shape": (
        "z = jnp.concatenate([jnp.where(x > 0, x, 0), y], axis=-1)\n        assert z.shape == (4, 12)\n        h = z",
        "12",
    ),
    "one or as many": (
        "h = nn.Dense(4)(jnp.ones((2, 5, 5, 6))) + nn.Dense(4)(x)[:, None, None]",
        "4",
    ),
    "rows of a table": ("x2, y2 = item_ids.shape\n        h = jnp.ones((10, 6))[item_ids]", "6"),
}

NOT_KNOWN = {
    "either rank": "if jnp.isscalar(x) or x.ndim == 1:\n            h = x * jnp.ones((1, 5))\n        else:\n            h = x[None]",
    "more than one axis": "h = nn.Dense(y.shape[0])(jnp.ones((2, 5, 5, 6))) + nn.Dense(4)(x)[:, None, None]",
    "an array that may be missing decides about a layer": "z = jnp.ones((2, 4)) if self.has_rng('a') else None\n"
    "        h = x\n        if z is not None:\n            h = nn.Dense(4)(x)",
    "an array of one size or another, or none": "z = jnp.ones((2, 4)) if self.has_rng('a') else None\n"
    "        if self.has_rng('b'):\n            z = jnp.ones((2, 5))\n        h = z + 1",
    "truth values": "x2, y2 = y.shape\n        h = nn.Dense(6)(x)[y]",
}


def _converted(folder: Path, body: str) -> tuple[str, list[str]]:
    path = folder / "models.py"
    path.write_text(HEAD.replace("BODY", body))
    after, conversions = convert(path)
    return after, [refusal.reason for refusal in conversions.refused.values()]


@pytest.mark.parametrize("case", KNOWN)
def test_known(tmp_path: Path, case: str) -> None:
    """The layer's size follows from what must hold where it is called."""
    body, size = KNOWN[case]
    after, refused = _converted(tmp_path, body)
    assert not refused
    assert f"nnx.Linear({size}, 3, rngs=rngs)" in after


@pytest.mark.parametrize("case", NOT_KNOWN)
def test_not_known(tmp_path: Path, case: str) -> None:
    """Conditions that hold for several ranks say nothing; nor does an index that may hold truth values."""
    after, refused = _converted(tmp_path, NOT_KNOWN[case])
    assert refused
    assert "class Model(nn.Module)" in after


SUMMED = """
import flax.linen as nn


class Model(nn.Module):
    branches: int = 3

    @nn.compact
    def __call__(self, x):
        heads = [nn.Dense(6) for _ in range(self.branches)]
        return nn.Dense(3)(sum([head(x) for head in heads]))
"""


def test_sum_of_a_list(tmp_path: Path) -> None:
    """The built-in `sum` of equal arrays has their shape."""
    path = tmp_path / "models.py"
    path.write_text(SUMMED)
    after, conversions = convert(path)
    assert not conversions.refused
    assert "nnx.Linear(6, 3, rngs=rngs)" in after
