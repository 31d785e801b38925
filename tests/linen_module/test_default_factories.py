"""Default factories of fields that the constructor can't take over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
from dataclasses import field
from typing import Any, Optional

import flax.linen as nn


class Part(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


class Model(nn.Module):
    part: {annotation} = field(default_factory={factory})

    @nn.compact
    def __call__(self, x):
        return nn.Dense(len(self.part))(x)
"""


@pytest.mark.parametrize(
    ("annotation", "factory"),
    [
        ("Optional[list]", "list"),
        ("list | None", "list"),
        ("Any", "dict"),
        ("nn.Module", "Part"),
        ("list", "lambda: [Part()]"),
        ("list", "lambda: [nn.Dense(3)]"),
    ],
)
def test_refused(tmp_path: Path, annotation: str, factory: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(annotation=annotation, factory=factory))
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused
    assert "model.Part" in conversions.converted
