"""Partials of classes among which a condition chooses: what the constructor can't repeat is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
from functools import partial
from typing import Any

import flax.linen as nn


class Basic(nn.Module):
    features: int
    act: Any = nn.relu

    @nn.compact
    def __call__(self, x):
        return self.act(nn.Dense(self.features)(x))


class Deep(nn.Module):
    features: int
    act: Any = nn.relu
    inner: Any = None
    norm: Any = nn.LayerNorm

    @nn.compact
    def __call__(self, x):
        y = self.norm()(nn.Dense(2 * self.features)(x))
        return nn.Dense(self.features)(self.act(y))


class Model(nn.Module):
    deep: bool = False
    act: Any = nn.gelu

    @nn.compact
    def __call__(self, x):
        if self.deep:
            block = partial(Deep, act=self.act)
        else:
            block = partial(Basic, act=self.act)
        x = block(8)(x)
        return block(features=4, act=nn.tanh)(x)
"""
PLAIN = CODE.replace("    norm: Any = nn.LayerNorm\n", "").replace("self.norm()(", "nn.LayerNorm()(")
REFUSED = {
    "a class that gets factories": ("nn.LayerNorm()(nn", "self.act(nn", CODE),
    "a module that a partial binds": ("Deep, act=self.act", "Deep, act=self.act, inner=nn.Dense(3)", PLAIN),
    "what only a call knows": ("Deep, act=self.act", "Deep, act=lambda y: y * x.mean()", PLAIN),
    "a layer on one path": ("partial(Basic, act=self.act)", "nn.Dense", PLAIN),
    "an argument by position": ("partial(Basic, act=self.act)", "partial(Basic, 8)", PLAIN),
    "sizes that differ": (
        "return self.act(nn.Dense(self.features)(x))",
        "return self.act(nn.Dense(3)(x))",
        PLAIN,
    ),
}


def test_the_constructor_takes_the_same_choice(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(PLAIN)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "block = partial(Deep, act=self.act)" in text
    assert "self.block_0 = block(8, in_features=in_features, rngs=rngs)" in text
    assert "self.block_1 = block(features=4, act=nnx.tanh, in_features=8, rngs=rngs)" in text


@pytest.mark.parametrize(("old", "new", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_alone(tmp_path: Path, old: str, new: str, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(code.replace(old, new))
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused


SINGLE = """
class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        block = partial(Deep, {bound})
        return block({given})(x)
"""


@pytest.mark.parametrize(
    ("bound", "given", "written"),
    [
        ("act=nn.gelu", "8", "Deep(8, act=nnx.gelu, in_features"),
        ("8", "nn.gelu", "Deep(8, nnx.gelu, in_features"),
        ("8, inner=None", "act=nn.gelu", "Deep(8, inner=None, act=nnx.gelu, in_features"),
        ("features=4, act=nn.gelu", "features=8", "Deep(act=nnx.gelu, features=8, in_features"),
    ],
)
def test_a_partial_is_written_out_in_order(tmp_path: Path, bound: str, given: str, written: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(PLAIN.partition("class Model")[0] + SINGLE.format(bound=bound, given=given).lstrip())
    text, conversions = convert(path)
    assert not conversions.refused
    assert written in " ".join(text.split()).replace("( ", "(")


def test_classes_that_only_a_call_chooses_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    chosen = "block = Deep if train else Basic\n        return block(8)(x)"
    code = SINGLE.format(bound="8", given="").replace("self, x", "self, x, train")
    code = code.replace("block = partial(Deep, 8)\n        return block()(x)", chosen)
    path.write_text(PLAIN.partition("class Model")[0] + code.lstrip())
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused
