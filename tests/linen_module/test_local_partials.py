"""Partials of classes of the project that bind factories of layers: near misses stay Linen."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

MODEL = """
from functools import partial
from typing import Any

import flax.linen as nn


class Block(nn.Module):
    features: int
    norm: Any

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(self.norm()(x))


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
"""
REFUSED = {
    "the call gives another factory": """
        norm = partial(nn.LayerNorm, epsilon=1e-3)
        block = partial(Block, norm=norm)
        return block(4, norm=nn.LayerNorm)(x)
    """,
    "the variable that the partial reads changes": """
        norm = partial(nn.LayerNorm, epsilon=1e-3)
        block = partial(Block, norm=norm)
        norm = partial(nn.LayerNorm, epsilon=1e-4)
        return norm()(block(4)(x))
    """,
    "the mode changes behind the partial": """
        norm = partial(nn.BatchNorm, use_running_average=not train)
        block = partial(Block, norm=norm)
        train = not train
        return block(4)(x) * train
    """,
    "a partial of a partial": """
        inner = partial(Block, norm=nn.LayerNorm)
        block = partial(inner, features=4)
        return block()(x)
    """,
    "another function makes the partial": """
        def make():
            return partial(Block, norm=partial(nn.LayerNorm, epsilon=1e-4))
        return make()(4)(x)
    """,
}
TAKEN = """
    block = partial(Block, norm=partial(nn.LayerNorm, epsilon=1e-3))
    x = block(4)(x)
    block = partial(Block, norm=partial(nn.LayerNorm, epsilon=1e-4))
    return block(4)(x)
"""


def converted(path: Path, body: str) -> str | None:
    path.write_text(MODEL.lstrip() + indent(dedent(body).strip("\n"), " " * 8) + "\n")
    text, conversions = convert(path)
    return text if "model.Net" in conversions.converted else None


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_stays(tmp_path: Path, body: str) -> None:
    assert converted(tmp_path / "model.py", body) is None


def test_each_construction_gets_what_its_own_partial_binds(tmp_path: Path) -> None:
    text = converted(tmp_path / "model.py", TAKEN)
    assert text is not None
    first, second = text.partition("self.block_1 = ")[::2]
    assert "norm=partial(nnx.LayerNorm, epsilon=1e-3)" in first
    assert "norm=partial(nnx.LayerNorm, epsilon=1e-4)" in second
