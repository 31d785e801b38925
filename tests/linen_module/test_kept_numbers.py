"""What modules read of their submodules: numbers that `setup` computes from fields, and nothing that calls change."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax.numpy as jnp


class Patches(nn.Module):
    size: int
    by_rows: bool = False

    def setup(self):
        self.count = self.size * self.size
        self.table = self.param("table", nn.initializers.zeros, (self.size, 3))
        self.offsets = jnp.arange(self.size)
        if self.by_rows:
            self.rows = self.size
        else:
            self.rows = 1
        self.proj = nn.{layer}(3)

    @property
    def last(self):
        return self.count - 1

    def __call__(self, x):
        return self.proj(x)


class Model(nn.Module):
    size: int = 4
    by_rows: bool = False

    def setup(self):
        self.patches = Patches(self.size, self.by_rows)
        self.w = self.param("w", nn.initializers.zeros, ({read}, 3))

    def __call__(self, x):
        return self.patches(x) + self.w.sum(axis=0)
"""


def _convert(tmp_path: Path, read: str, layer: str = "Dense") -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(read=read, layer=layer))
    return convert(path)


@pytest.mark.parametrize("read", ["self.patches.count", "self.patches.last + 1", "self.patches.size"])
def test_numbers_are_read_where_setup_reads_them(tmp_path: Path, read: str) -> None:
    text, conversions = _convert(tmp_path, read)
    assert conversions.refused == {}
    assert f"({read}, 3)" in text


@pytest.mark.parametrize(
    "read", ["self.patches.table.shape[0]", "self.patches.offsets.shape[0]", "self.patches.rows"]
)
def test_what_is_no_number_for_all_models_is_refused(tmp_path: Path, read: str) -> None:
    _, conversions = _convert(tmp_path, read)
    assert "model.Model" in conversions.refused


def test_a_module_that_stays_linen_is_not_asked(tmp_path: Path) -> None:
    _, conversions = _convert(tmp_path, "self.patches.count", layer="LayerNormOfTheFuture")
    assert {"model.Patches", "model.Model"} <= conversions.refused.keys()
