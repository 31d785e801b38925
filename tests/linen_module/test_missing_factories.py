"""Fields that make layers in some models and hold nothing in others: near misses stay Linen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """
from functools import partial
from typing import Any, Optional

import flax.linen as nn


class Block(nn.Module):
    features: int
    norm: Optional[Any] = None

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(self.features)(x)
        if {test}:
            x = self.norm()(x)
        return x


class Net(nn.Module):
    normed: bool = True

    @nn.compact
    def __call__(self, x, train=False):
        x = Block(4)(x)
        return Block(4, norm={norm})(x)
"""
TESTS = {
    "self.norm is not None": True,
    "self.norm": False,
    "self.norm != None": False,
    "callable(self.norm)": False,
}
GIVEN = {
    "nn.LayerNorm": True,
    "partial(nn.LayerNorm, epsilon=1e-4)": True,
    "partial(nn.BatchNorm, use_running_average=not train)": False,
    "nn.LayerNorm if self.normed else None": False,
    "make_norm()": False,
    "None": False,
}


def is_converted(path: Path, test: str, norm: str) -> bool:
    path.write_text(MODEL.lstrip().format(test=test, norm=norm))
    _, conversions = convert(path)
    return "model.Block" in conversions.converted and "model.Net" in conversions.converted


@pytest.mark.parametrize("test", TESTS)
def test_only_a_test_for_none_is_understood(tmp_path: Path, test: str) -> None:
    assert is_converted(tmp_path / "model.py", test, "nn.LayerNorm") is TESTS[test]


@pytest.mark.parametrize("norm", GIVEN)
def test_what_a_field_may_get_beside_nothing(tmp_path: Path, norm: str) -> None:
    assert is_converted(tmp_path / "model.py", "self.norm is not None", norm) is GIVEN[norm]


def test_a_base_keeps_what_a_subclass_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    base, _, rest = (
        MODEL.lstrip()
        .format(test="self.norm is not None", norm="nn.LayerNorm")
        .partition("\n    @nn.compact\n")
    )
    base = base.replace("class Block", "class Base")
    path.write_text(f"{base}\n\nclass Block(Base):\n    @nn.compact\n{rest}")
    text, conversions = convert(path)
    assert "model.Block" in conversions.refused or "        self.norm = norm\n" in text
