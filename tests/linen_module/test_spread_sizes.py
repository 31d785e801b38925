"""Sizes among which a sequence of unknown length stands: `(batch, *self.grid, features)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = "import flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n"
MODEL = """
class Model(nn.Module):
    grid: tuple[int, ...]
    other: tuple[int, ...] = ()
    width: int = 4

    @nn.compact
    def __call__(self, x, *more):
        x = PREPARED
        return nn.Dense(3)(x)
"""


def prepared(tmp_path: Path, code: str) -> str | None:
    """The layer of the model that gets `code`; None if it isn't converted."""
    path = tmp_path / "before.py"
    path.write_text(HEAD + MODEL.replace("PREPARED", code))
    text, conversions = convert(path)
    if conversions.refused:
        return None
    (line,) = (line.strip() for line in text.splitlines() if "nnx.Linear(" in line)
    return line


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("x.reshape((x.shape[0], *self.grid, self.width))", "self.width"),
        ("x.reshape(x.shape[0], *self.grid, self.width)", "self.width"),
        ("x.reshape((x.shape[0],) + self.grid + (self.width,))", "self.width"),
        ("x.reshape((*self.grid, *self.other, 6))", "6"),
        ("jnp.zeros(self.grid + x.shape[-1:])", "in_features"),
        ("jnp.broadcast_to(x, (*self.grid, x.shape[-1]))", "in_features"),
    ],
)
def test_what_stands_behind_a_sequence(tmp_path: Path, code: str, size: str) -> None:
    line = prepared(tmp_path, code)
    assert line is not None and f"nnx.Linear({size}, 3" in line


def test_the_last_size_of_a_sequence(tmp_path: Path) -> None:
    line = prepared(tmp_path, "jnp.ones((x.shape[0], *self.grid))")
    assert line is not None and "nnx.Linear(self.grid[-1], 3" in line


@pytest.mark.parametrize(
    "code",
    [
        "x.reshape((x.shape[0], *self.grid))",  # the last one may be -1
        "x.reshape((*self.grid, x.shape[-1], -1))",
        "jnp.concatenate([x, *more], axis=-1)",
        "jnp.ones((self.width, *more))",
        "jnp.ones((x.shape[0], *self.grid, self.width)).mean(axis=-1)",
        "jnp.swapaxes(jnp.ones((x.shape[0], *self.grid, self.width)), 1, -1)",
    ],
)
def test_what_a_sequence_hides(tmp_path: Path, code: str) -> None:
    assert prepared(tmp_path, code) is None


WIDTHS = """
class Model(nn.Module):
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for width in self.hidden + (x.shape[-1],):
            x = nn.Dense(width)(x)
        return x
"""


def test_loops_over_a_sequence_and_a_size(tmp_path: Path) -> None:
    path = tmp_path / "before.py"
    path.write_text(HEAD + WIDTHS)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "for width in self.hidden + (in_features,):" in text
