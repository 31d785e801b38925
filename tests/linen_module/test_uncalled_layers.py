"""Layers of `setup` that nothing calls: they go, unless something may reach them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn


class Model(nn.Module):
    width: int = 4

    def setup(self):
        self.first = nn.Dense(self.width)
        {made}

    def __call__(self, x):
        return self.first(x)
{more}
"""


def _convert(
    tmp_path: Path, made: str = "self.spare = nn.Dense(2)", more: str = ""
) -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(made=made, more=more))
    return convert(path)


def test_a_layer_that_nothing_calls_goes(tmp_path: Path) -> None:
    text, conversions = _convert(tmp_path)
    assert conversions.refused == {}
    assert "spare" not in text and "self.first = nnx.Linear(in_features, self.width, rngs=rngs)" in text


def test_the_attribute_of_another_class_is_none_of_its_own(tmp_path: Path) -> None:
    more = "\n\nclass Other(nn.Module):\n    def setup(self):\n        self.spare = nn.Dense(2)\n\n"
    more += "    def __call__(self, x):\n        return self.spare(x)\n"
    text, conversions = _convert(tmp_path, more=more)
    assert conversions.refused == {} and text.count("spare") == 2


def test_a_dropout_stays(tmp_path: Path) -> None:
    text, conversions = _convert(tmp_path, "self.spare = nn.Dropout(0.1)")
    assert conversions.refused == {} and "self.spare = nnx.Dropout(0.1, rngs=rngs)" in text


@pytest.mark.parametrize(
    ("made", "more"),
    [
        ("self.spare = nn.Dense(2)", "\n\ndef output(model, x):\n    return model.spare(x)\n"),
        ("self.spare = nn.Dense(2)", '\n\ndef output(model, x):\n    return getattr(model, "spare")(x)\n'),
        ("self.spare = nn.Dense(2)", "\n    def layer(self, name):\n        return getattr(self, name)\n"),
        (
            "self.spare = nn.Dense(2)",
            "\n\nclass Wide(Model):\n    def __call__(self, x):\n        return self.spare(x)\n",
        ),
        ("self.spare = nn.Dense(2)\n        self.spare = nn.Dense(3)", ""),
        ("if self.width:\n            self.spare = nn.Dense(2)", ""),
        ("self.spare = [nn.Dense(2)]", ""),
    ],
    ids=["taken", "taken by name", "taken by any name", "by a subclass", "made twice", "sometimes", "list"],
)
def test_what_something_may_reach_stays(tmp_path: Path, made: str, more: str) -> None:
    _, conversions = _convert(tmp_path, made, more)
    assert "model.Model" in conversions.refused
