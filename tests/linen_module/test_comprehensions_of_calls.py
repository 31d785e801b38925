"""Layers that a comprehension makes and calls at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    n: int = 2

    @nn.compact
    def __call__(self, x):
        i = 1
        return VALUE
"""
WRITTEN = {
    "[nn.Dense(3)(x) for _ in range(self.n)]": "[dense(x) for dense in self.dense_layers]",
    "sum(nn.Dense(3)(x) for _ in range(self.n))": "sum(dense(x) for dense in self.dense_layers)",
    "[nn.Dense(3)(x) + k for k in range(self.n)]": "[self.dense_layers[k](x) + k for k in range(self.n)]",
    "[nn.Dense(3)(x) for i in range(self.n)], i": "[self.dense_layers[i](x) for i in range(self.n)], i",
    "[nn.Dense(k)(x) + k for k in (2, 3)]": ("[dense(x) + k for k, dense in zip((2, 3), self.dense_layers)]"),
    # what can't be told, or isn't made in every round
    "[nn.Dense(3)(x) for k in range(self.n) if k > 1]": None,
    "[[nn.Dense(3)(x) for _ in range(2)] for _ in range(self.n)]": None,
    "[nn.Dense(3)(x) for _ in range(2) for _ in range(self.n)]": None,
    "next(nn.Dense(3)(x) for _ in range(self.n))": None,
    "{k: nn.Dense(3)(x) for k in range(self.n)}": None,
}


@pytest.mark.parametrize("value", WRITTEN)
def test_comprehensions_of_calls(value: str, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.replace("VALUE", value))
    after, conversions = convert(path)
    if WRITTEN[value] is None:
        assert "model.Model" in conversions.refused
    else:
        assert f"return {WRITTEN[value]}" in after


def test_a_comprehension_in_a_loop_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    loop = "x\n        for _ in range(2):\n            ys = [nn.Dense(3)(x) for _ in range(self.n)]\n            x = ys[0]"
    path.write_text(CODE.replace("return VALUE", f"y = {loop}\n        return x"))
    assert "model.Model" in convert(path)[1].refused
