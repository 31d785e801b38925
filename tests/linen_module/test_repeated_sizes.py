"""Sizes that fields choose, and several layers need, have a variable in the constructor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn
import jax.numpy as jnp


class Block(nn.Module):
    out_channels: int | None = None
    depth: int = 2

    @nn.compact
    def __call__(self, x):
        width = self.out_channels or x.shape[-1]
        y = nn.Dense(width)(nn.relu(x))
        y = nn.Dense(width)(nn.relu(y))
        return x + y if width == x.shape[-1] else y
"""
CHOICE = "self.out_channels or in_features"


def constructor(code: str, tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(code)
    text, conversions = convert(path)
    assert not conversions.refused
    return text.partition("def __init__")[2].partition("def __call__")[0]


def test_it_has_the_name_of_the_method(tmp_path: Path) -> None:
    made = constructor(CODE, tmp_path)
    assert f"        width = {CHOICE}\n" in made
    assert "self.dense_0 = nnx.Linear(in_features, width, rngs=rngs)" in made
    assert "self.dense_1 = nnx.Linear(width, width, rngs=rngs)" in made


@pytest.mark.parametrize("name", ["out_channels", "jnp"])  # a parameter, and a name of the file
def test_another_name_where_that_is_taken(name: str, tmp_path: Path) -> None:
    made = constructor(CODE.replace("width", name), tmp_path)
    assert f"        features = {CHOICE}\n" in made and made.count(CHOICE) == 1


def test_in_a_branch_that_alone_needs_it(tmp_path: Path) -> None:
    inner = "        if self.depth:\n            y = nn.Dense(width)(y)\n            y = nn.Dense(width)(y)\n"
    lines = CODE.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if "y = nn.Dense(width)(nn.relu(x))" in line)
    code = "".join([*lines[:at], "        y = nn.Dense(3)(x)\n", inner, "        return y\n"])
    made = constructor(code, tmp_path)
    assert f"        if self.depth:\n            width = {CHOICE}\n" in made


def test_sizes_that_a_loop_changes_stay_apart(tmp_path: Path) -> None:
    loop = (
        "        for _ in range(self.depth):\n"
        "            x = nn.Dense(self.out_channels or x.shape[-1])(x)\n"
        "            x = nn.Dense(x.shape[-1] * 2)(x)\n"
        "        return nn.Dense(self.out_channels or x.shape[-1])(x)\n"
    )
    made = constructor(CODE[: CODE.index("        width")] + loop, tmp_path)
    assert "            features = self.out_channels or in_features\n            self.dense_layers" in made
    assert "in_features, self.out_channels or in_features, rngs=rngs" in made  # behind the loop


def test_pairs_are_no_features(tmp_path: Path) -> None:
    strides = (
        "        for i in range(self.depth):\n"
        "            x = nn.Conv(4, (3, 3), strides=(2, 2) if i > 0 else (1, 1))(x)\n"
        "            x = nn.Conv(4, (3, 3), strides=(2, 2) if i > 0 else (1, 1))(x)\n"
        "        return x\n"
    )
    assert "features = (2, 2)" not in constructor(CODE[: CODE.index("        width")] + strides, tmp_path)
