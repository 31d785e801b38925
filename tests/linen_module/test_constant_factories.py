"""Partials of a class that a variable of the file holds: what is certain of it, and what isn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
from functools import partial

import flax.linen as nn


class Cell(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


def make(width):
    return partial(Cell, width=width)


{constant}


class Layer(nn.Module):
    cell: nn.Module

    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm()(self.cell()(x))

    @staticmethod
    def widths(number):
        return [8] * number


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Layer(cell=cell)(x)


print({used})
"""


def _refused(tmp_path: Path, constant: str, used: str = "Layer.widths(2)") -> set[str]:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(constant=constant, used=used))
    _, conversions = convert(path)
    return {name.removeprefix("model.") for name in conversions.refused}


@pytest.mark.parametrize("constant", ["cell = make(8)", "cell = partial(Cell, width=8)"])
def test_a_constant_holds_the_same_class_for_good(tmp_path: Path, constant: str) -> None:
    assert not _refused(tmp_path, constant)


@pytest.mark.parametrize(
    "constant",
    [
        "cell = make(8)\ncell = make(9)",
        "cell = make(8)\n\n\ndef change(other):\n    global cell\n    cell = other",
        "if make:\n    cell = make(8)\nelse:\n    cell = nn.Dense",
        "cell = [make(8)].pop()",
        "from elsewhere import cell",
    ],
)
def test_a_variable_that_may_hold_something_else_is_refused(tmp_path: Path, constant: str) -> None:
    assert "Layer" in _refused(tmp_path, constant)


def test_what_reads_an_instance_s_method_of_the_class_is_refused(tmp_path: Path) -> None:
    assert "Layer" in _refused(tmp_path, "cell = make(8)", "Layer.clone")
