"""Lists of arrays that loops extend: how many there are shows only where every round adds as many."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.linen_module.fixture import convert

CODE = """
from typing import Sequence

import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: Sequence[int]
    depth: int = 2
    wide: bool = False

    @nn.compact
    def __call__(self, x):
        found = [nn.Dense(4)(x)]
        {body}
        return nn.Dense(3)(jnp.concatenate(found, axis=-1))
"""
EACH = "for _ in range(self.depth):"
# What is put together for 5 features, 2 rounds, and 3 widths.
KNOWN = {
    "a loop": (f"{EACH} found.append(nn.Dense(4)(x))", 12),
    "the items of a field": ("for w in self.widths: found.append(nn.Dense(4)(x))", 16),
    "two in each round": (
        f"{EACH}\n            found.append(x * 2)\n            found.append(nn.Dense(2)(x))",
        18,
    ),
    "two loops": (f"{EACH} found.append(x)\n        for _ in self.widths: found.append(x)", 29),
    "one more behind it": (f"{EACH} found.append(x)\n        found.append(nn.Dense(1)(x))", 15),
    "a list that begins empty": (f"found = []\n        {EACH} found.append(x)", 10),
}
UNKNOWN = {
    "a condition": f"{EACH}\n            if self.wide:\n                found.append(x)",
    "a way out": f"{EACH}\n            if self.wide:\n                break\n            found.append(x)",
    "a round that is left out": f"{EACH}\n            if self.wide:\n                continue\n            found.append(x)",
    "sizes of each round": "for w in self.widths: found.append(nn.Dense(w)(x))",
    "one that is taken away": f"{EACH} found.append(x)\n        found.pop()",
    "some that are taken away": f"{EACH} found.append(x)\n        found = found[1:]",
    "a loop within a loop": f"{EACH}\n            for _ in range(2, 4):\n                found.append(x)",
    "more under a condition of the call": f"{EACH} found.append(x)\n        if x.sum() > 0: found.append(x)",
    "a loop in a loop that may not come": f"{EACH}\n            if self.wide:\n                found.append(x)",
    "a loop that changes the size": f"{EACH}\n            x = jnp.concatenate([x, x], -1)\n            found.append(x)",
    "an unknown number of rounds": "for row in x: found.append(x)",
}


@pytest.mark.parametrize(("body", "size"), KNOWN.values(), ids=KNOWN)
def test_sizes_of_lists_that_loops_extend(tmp_path: Path, body: str, size: int) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(body=body))
    text, conversions = convert(path)
    assert not conversions.refused
    (written,) = re.findall(r"nnx\.Linear\(\s*([^,]+), 3, rngs=rngs", text)
    values = {"in_features": 5, "self": SimpleNamespace(depth=2, widths=(1, 1, 1)), "len": len}
    assert eval(written, values) == size


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_lists_of_another_length_in_some_models_stay(tmp_path: Path, body: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(body=body))
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused
