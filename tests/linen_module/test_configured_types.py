"""What configurations declare: `config.width` is one number for code that takes a number or a sequence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


@dataclass(frozen=True)
class Config:
    width: int = 4


class Projection(nn.Module):
    features: Any

    @nn.compact
    def __call__(self, x):
        features = tuple(self.features) if isinstance(self.features, Iterable) else (self.features,)
        kernel = self.param("kernel", nn.initializers.normal(), (x.shape[-1], *features))
        return jnp.tensordot(x, kernel, 1)


class Model(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Projection(self.config.width)(x))
"""
KEPT = {
    "anything": ("width: int = 4", "width: Any = 4"),
    "either": ("width: int = 4", "width: int | tuple[int, ...] = 4"),
    "nothing": ("width: int = 4", "width = 4"),
    "any configuration": ("    config: Config\n", "    config: Any\n"),
    "one of several configurations": (
        "class Proj",
        "class Wide(Config):\n    width: tuple = (2, 2)\n\n\nclass Proj",
    ),
    "a part of it": ("(self.config.width)", "(self.config.width.real)"),
}


def test_a_number(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    assert "Linear(self.config.width, 3" in convert(path)[0]


@pytest.mark.parametrize("case", KEPT)
def test_what_may_be_more(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.replace(*KEPT[case]))
    assert convert(path)[1].refused["model.Model"].reason == "unknown-size"
