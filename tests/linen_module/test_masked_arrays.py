"""Arrays to which something of unknown sizes is added where it isn't None: which of their sizes stay."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from tests.linen_module.fixture import convert

MODEL = """
import flax.linen as nn
import jax.numpy as jnp


def given(*values):
    found = [value for value in values if value is not None]
    return sum(found[1:], found[0]) if found else None


class Model(nn.Module):
    features: int = 4

    @nn.compact
    def __call__(self, x, bias=None, mask=None):
        x = nn.Dense(self.features)(x)[..., None] * jnp.arange(3.0)
        bias = given(bias, mask)
"""
STATEMENTS = {
    "added": ("x = x + bias", True),
    "added on the left": ("x = bias.astype(x.dtype) + x", True),
    "in place": ("x += bias", True),
    "where it is true": ("x = jnp.where(bias, x, -1e9)", True),
    "beside other statements": ("bias = 2 * bias\nscale = 3\nx = x * (scale * bias)", True),
    "joined": ("x = jnp.concatenate([x, bias], axis=-2)", False),
    "a product of matrices": ("x = bias @ x", False),
    "twice": ("x = x + bias\nx = jnp.repeat(x, 2, axis=-2)", False),
    "in a loop": ("for _ in range(2):\n    x = x + bias", False),
    "instead of it": ("x = bias", False),
    "both values": ("x = jnp.where(x, bias, bias)", False),
}
TESTS = {
    "if bias is None:\n    bias = 0\nelse:\n    x = x + bias": False,
    "if bias is not None:\n    x = x + bias\nelse:\n    x = x[..., :2, :]": False,
    "if jnp.ndim(bias):\n    x = x + bias": False,
    "x = x[..., :1, :]\nif bias is not None:\n    x = x + bias": False,
    "x = x.swapaxes(-1, -2)\nif bias is not None:\n    x = x + bias\nx = x.swapaxes(-1, -2)": False,
    "x = x.reshape(-1, self.features, 3)\nif bias is not None:\n    x = x + bias": True,
}


@pytest.mark.parametrize(
    ("code", "stays"),
    [
        *((f"if bias is not None:\n{indent(code, '    ')}", stays) for code, stays in STATEMENTS.values()),
        *TESTS.items(),
    ],
    ids=[*STATEMENTS, *TESTS],
)
def test_the_size_of_an_axis_that_is_not_the_last(code: str, stays: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    code = f"{code}\nreturn nn.Dense(5)(x.swapaxes(-1, -2))\n"
    path.write_text(MODEL + indent(code, "        "))
    conversions = convert(path)[1]
    if stays:
        assert [size.name for size in conversions.converted["model.Model"].sizes] == ["in_features"]
    else:
        assert conversions.refused["model.Model"].reason == "unknown-size"
