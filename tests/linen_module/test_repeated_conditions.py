"""Sizes behind conditions that are asked twice, and arrays that are plain numbers on another path."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEAD = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    wide: bool = False
    dim: int = 4
    other: int = 3

    def mask(self, x, train):
        if train:
            return jax.random.bernoulli(self.make_rng('dropout'), 0.5, (x.shape[0],) + (1,) * (x.ndim - 1))
        return 1.0

    @nn.compact
    def __call__(self, x, train=False):
"""


def _layer(tmp_path: Path, body: str) -> str | None:
    """The line that makes the layer `last`, None where the class isn't converted."""
    path = tmp_path / "model.py"
    path.write_text(HEAD + indent(dedent(body).strip(), " " * 8) + "\n")
    after, conversions = convert(path)
    if "model.Model" not in conversions.converted:
        return None
    return next(line.strip() for line in after.splitlines() if "self.last =" in line)


ASKED_TWICE = {
    "there and back": (
        """
        b, n, c = x.shape
        if self.wide:
            x = x.reshape(b, c, n)
        x = x * 2
        if self.wide:
            x = x.reshape(b, n, c)
        return nn.Dense(5, name='last')(x)
        """,
        "self.last = nnx.Linear(in_features, 5, rngs=rngs)",
    ),
    "another condition": (
        """
        if self.wide:
            x = nn.Dense(2 * self.dim)(x)
        else:
            x = nn.Dense(self.dim)(x)
        if self.other > 3:
            x = x[..., :self.dim]
        return nn.Dense(5, name='last')(x)
        """,
        "self.last = nnx.Linear(x_features, 5, rngs=rngs)",
    ),
    "what the second leaves alone": (
        """
        y = x
        if self.wide:
            x = nn.Dense(8)(x)
        else:
            x = nn.Dense(2)(x)
        if self.wide:
            y = y + 1
        return nn.Dense(5, name='last')(x), y
        """,
        "self.last = nnx.Linear(x_features, 5, rngs=rngs)",
    ),
    "each undoes the other": (
        """
        if self.wide:
            x = nn.Dense(8)(x)
        else:
            x = nn.Dense(2)(x)
        if self.wide:
            x = x[..., ::2]
        else:
            x = jnp.concatenate([x, x], axis=-1)
        return nn.Dense(5, name='last')(x)
        """,
        "self.last = nnx.Linear(4, 5, rngs=rngs)",
    ),
    "a field that changes in between": (
        """
        wide = self.wide
        if wide:
            x = nn.Dense(8)(x)
        else:
            x = nn.Dense(2)(x)
        wide = self.other > 3
        if wide:
            x = x[..., :1]
        return nn.Dense(5, name='last')(x)
        """,
        "self.last = nnx.Linear(x_features, 5, rngs=rngs)",
    ),
}


@pytest.mark.parametrize("name", ASKED_TWICE)
def test_conditions_asked_twice(name: str, tmp_path: Path) -> None:
    body, expected = ASKED_TWICE[name]
    assert _layer(tmp_path, body) == expected


NUMBERS = {
    "a factor": ("x = nn.Dense(6)(x)\nx = x * self.mask(x, train)", "6"),
    "a number from it": ("x = nn.Dense(6)(x)\nx = x * (1.0 - self.mask(x, train))", "6"),
    "an expression": (
        "x = nn.Dense(6)(x)\nscale = jnp.ones((6,)) if train else 1.0\nx = x / scale",
        "6",
    ),
    "a wider array": ("scale = jnp.ones((6,)) if train else 1.0\nx = nn.Dense(1)(x) * scale", None),
    "the array itself: layers fail for numbers": ("x = self.mask(nn.Dense(6)(x), train)", "1"),
    "what is made of it": ("x = nn.Dense(1)(x) + jnp.stack([self.mask(x, train)] * 2)", None),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_arrays_that_may_be_numbers(name: str, tmp_path: Path) -> None:
    body, size = NUMBERS[name]
    found = _layer(tmp_path, f"{body}\nreturn nn.Dense(5, name='last')(x)")
    assert found == (None if size is None else f"self.last = nnx.Linear({size}, 5, rngs=rngs)")


def test_windows_in_a_loop(tmp_path: Path) -> None:
    """What a field of a block decides, where the class around gives each block another value."""
    before = (
        Path(__file__).parents[2] / "fixtures" / "linen-module" / "windows-and-dropped-layers" / "before.py"
    )
    encoder = """

    class Encoder(nn.Module):
        dim: int
        window_size: int = 2

        @nn.compact
        def __call__(self, x):
            x = nn.Conv(self.dim, (2, 2), strides=(2, 2))(x)
            for i in range(3):
                x = Block(self.dim, window_size=self.window_size if i % 2 else 0)(x)
            return nn.Dense(3)(x)
    """
    path = tmp_path / "model.py"
    path.write_text(before.read_text() + dedent(encoder))
    after, conversions = convert(path)
    assert "model.Encoder" in conversions.converted
    assert "self.dense = nnx.Linear(self.dim, 3, rngs=rngs)" in after
