"""Features that are taken by the numbers of a field, which says how many these are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
from typing import Any, List, Sequence, Tuple

import flax.linen as nn


class Net(nn.Module):
    indices: {annotation}

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x[{index}])
"""


def converted(annotation: str, index: str, tmp_path: Path) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(annotation=annotation, index=index))
    text, conversions = convert(path)
    return text, [refusal.reason for refusal in conversions.refused.values()]


@pytest.mark.parametrize("annotation", ["Sequence[int]", "Tuple[int, ...]", "list[int]", "'List[int]'"])
def test_its_length_is_the_size(annotation: str, tmp_path: Path) -> None:
    text, refused = converted(annotation, "..., self.indices", tmp_path)
    assert not refused
    assert "nnx.Linear(len(self.indices), 3, rngs=rngs)" in text


@pytest.mark.parametrize(
    ("annotation", "index"),
    [
        ("Any", "..., self.indices"),  # a number, truth values, or a slice
        ("Sequence[bool]", "..., self.indices"),
        ("Tuple[int, int]", "..., self.indices"),
        ("Sequence[int]", "self.indices"),  # a number for each axis
        ("Sequence[int]", ":, self.indices"),  # the last axis of rank 2 alone
    ],
)
def test_what_may_be_something_else(annotation: str, index: str, tmp_path: Path) -> None:
    assert converted(annotation, index, tmp_path)[1] == ["unknown-size"]
