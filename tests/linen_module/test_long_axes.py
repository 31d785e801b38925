"""Sums of which a group norm tells the size: beside a multiple of 4, nothing else fits but 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax.numpy as jnp


class Block(nn.Module):
    in_channels: int
    features: int
    groups: int
    is_normed: bool

    @nn.compact
    def __call__(self, x):
        residual = x
        {before}
        h = nn.Conv(self.features, (3, 3))(nn.relu(h))
        if self.in_channels != self.features:
            residual = nn.Conv(self.features, (1, 1))(residual)
        {behind}
        return x


class Model(nn.Module):
    start: int
    width: int
    depth: int = 2
    groups: int = 4
    is_normed: bool = True

    def setup(self):
        blocks = []
        for i in range(self.depth):
            in_channels = self.start if i == 0 else self.width
            blocks.append(Block(in_channels, self.width, self.groups, self.is_normed))
        self.blocks = blocks
        self.out = nn.Conv(3, (3, 3))

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.out(x)
"""
NORM = "h = nn.GroupNorm({})(nn.Conv(self.features, (3, 3))(x))"
SUM = "x = h + residual"


def _is_known(tmp_path: Path, before: str, behind: str = SUM) -> bool:
    """Whether the sum in a block has the block's width; else it may be that of the input, which is longer."""
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(before=before, behind=behind))
    text, conversions = convert(path)
    assert not conversions.refused
    known = "x_features = self.width\n" in text
    assert known or "x_features = max(" in text
    return known


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (NORM.format("num_groups=4"), SUM),
        (NORM.format(""), SUM),
        (NORM.format("4"), "x = residual + h"),
        (NORM.format("4"), "h += residual; x = h"),
        (NORM.format("4"), "x = (residual - h) / jnp.sqrt(2)"),
    ],
)
def test_a_group_norm_tells_the_size_of_a_sum(tmp_path: Path, before: str, behind: str) -> None:
    assert _is_known(tmp_path, before, behind)


@pytest.mark.parametrize(
    "before",
    [
        "h = nn.Conv(self.features, (3, 3))(x)",
        NORM.format("num_groups=1"),
        NORM.format("num_groups=self.groups"),
        NORM.format("num_groups=None, group_size=1"),
        f"h = nn.Conv(self.features, (3, 3))(x)\n        if self.is_normed:\n            {NORM.format(4)}",
        "h = nn.GroupNorm(4)(x)",
    ],
)
def test_other_sums_are_left(tmp_path: Path, before: str) -> None:
    assert not _is_known(tmp_path, before)


def test_a_norm_behind_the_sum_tells_nothing(tmp_path: Path) -> None:
    behind = f"{SUM}; h = nn.GroupNorm(4)(h)"
    assert not _is_known(tmp_path, "h = x", behind)
