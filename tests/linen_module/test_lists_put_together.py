"""Arrays of a list that functions put together: what its length and its elements decide."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    n: int = 3
    sizes: tuple[int, ...] = (2, 3)

    def setup(self):
        self.layers = [nn.Dense(5) for _ in range(self.n)]
        self.other = [nn.Dense(k) for k in self.sizes]
        self.out = nn.Dense(2)

    def __call__(self, x):
        b, t, _ = x.shape
        ys = [layer(x) for layer in self.layers]
        zs = [layer(x) for layer in self.other]
        return self.out(VALUE), zs
"""
VALUES = {
    "jnp.stack(ys, axis=1).mean(axis=1)": "5",
    "jnp.stack(ys, axis=-1)": "self.n",
    "jnp.stack(ys).sum(axis=0)": "5",
    "jnp.concatenate(ys, axis=-1)": "5 * self.n",
    "jnp.concatenate(ys, 1)": "5",
    "jnp.concatenate([layer(x) for layer in self.layers if layer is not None], axis=-1)": None,
    "jnp.concatenate([layer(x) for _ in range(2) for layer in self.layers], axis=-1)": None,
    "jnp.hstack(ys)": "5",
    "jnp.array(ys).mean(axis=0)": "5",
    "jnp.concatenate(zs, axis=-1)": None,
    "jnp.stack([y[..., :2] for y in ys], axis=-1).reshape(b, t, -1)": "self.n * 2",
    "jnp.stack([y + i for i, y in enumerate(ys)], -1)": "self.n",
    "jnp.stack([jnp.ones((b, t)) * k for k in self.sizes], axis=-1)": "len(self.sizes)",
    "jnp.stack([jnp.ones((b, k)) for k in self.sizes], axis=0)": None,
    "jnp.array([jnp.ones((b, 4)) for k in range(t)])": "4",
}


@pytest.mark.parametrize("value", VALUES)
def test_sizes_of_lists(value: str, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.replace("VALUE", value))
    after, conversions = convert(path)
    if VALUES[value] is None:
        assert conversions.refused["model.Model"].reason == "unknown-size"
    else:
        assert f"self.out = nnx.Linear({VALUES[value]}, 2, rngs=rngs)" in after
