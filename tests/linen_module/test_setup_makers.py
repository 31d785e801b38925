"""Methods that make layers for `setup`: which of them go, and which keep their class from moving."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn


class Model(nn.Module):
    features: int = 4

    def setup(self):
        self.first = self._dense(self.features)
        self.second = self._dense(3)
{setup}
    def _dense(self, features):
        {body}

    def __call__(self, x):
        return self.second(nn.relu(self.first(x)))
{more}
"""


def _convert(
    tmp_path: Path, body: str = "return nn.Dense(features)", setup: str = "", more: str = ""
) -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(body=body, setup=setup, more=more))
    return convert(path)


@pytest.mark.parametrize(
    "body", ["return nn.Dense(features)", '"""A layer."""\n        return nn.Dense(features)']
)
def test_a_method_that_only_makes_a_layer_goes(tmp_path: Path, body: str) -> None:
    text, conversions = _convert(tmp_path, body)
    assert conversions.refused == {}
    assert "_dense" not in text and "self.second = nnx.Linear(self.features, 3, rngs=rngs)" in text


OTHER = """
class Other(nn.Module):
    def setup(self):
        self.layer = self._dense(2)

    def _dense(self, features):
        return nn.Dense(features)

    def __call__(self, x):
        return self.layer(x)
"""


def test_methods_of_the_same_name_don_t_meet(tmp_path: Path) -> None:
    text, conversions = _convert(tmp_path, more=f"\n{OTHER}")
    assert conversions.refused == {} and "_dense" not in text


SUBCLASS = """

class Wide(Model):
    def _dense(self, features):
        return nn.Dense(2 * features)
"""
CALLER = """

def layer_of(model):
    return model._dense(3)
"""
READER = """
    def again(self, x):
        return self._dense
"""


@pytest.mark.parametrize("more", [SUBCLASS, CALLER, READER], ids=["overridden", "called", "handed on"])
def test_a_method_that_others_use_stays(tmp_path: Path, more: str) -> None:
    _, conversions = _convert(tmp_path, more=more)
    assert "model.Model" in conversions.refused


@pytest.mark.parametrize(
    "body",
    [
        "print(features)\n        return nn.Dense(features)",
        "self.count = features\n        return nn.Dense(features)",
        "return nn.Dense(features) if self.features > 3 else nn.LayerNorm()",
        "self.made = nn.Dense(features)\n        return self.made",
    ],
)
def test_a_method_that_does_more_is_refused(tmp_path: Path, body: str) -> None:
    _, conversions = _convert(tmp_path, body)
    assert "model.Model" in conversions.refused


def test_a_subclass_has_what_its_base_makes(tmp_path: Path) -> None:
    more = "\n\nclass Named(Model):\n    def __call__(self, x):\n        return super().__call__(x) + 1\n"
    text, conversions = _convert(tmp_path, more=more)
    assert conversions.refused == {} and "_dense" not in text
