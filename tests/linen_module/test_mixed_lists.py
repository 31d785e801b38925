"""Lists of layers that `setup` builds in parts, of which loops make some: what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = """\
import flax.linen as nn


class Model(nn.Module):
    widths: tuple
    deep: bool = False

    def setup(self):
"""
CALL = """
    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""
FIRST = """
        layers = [nn.Dense(3)]
        for width in self.widths:
            layers.append(nn.Dense(width))
        self.layers = layers
"""


def _refused(tmp_path: Path, code: str) -> list[str]:
    path = tmp_path / "model.py"
    path.write_text(HEAD + code)
    _, conversions = convert(path)
    return [refusal.detail for refusal in conversions.refused.values()]


@pytest.mark.parametrize(
    "code",
    [
        FIRST + CALL,
        FIRST.replace("self.layers = layers", "self.layers = layers + [nn.Dense(2)]") + CALL,
        FIRST.replace("self.layers = layers", "layers.extend([nn.Dense(2), nn.relu]); self.layers = layers")
        + CALL,
        FIRST.replace("nn.Dense(3)", 'nn.Dense(3, name="stem")') + CALL,
        FIRST
        + CALL.replace(
            "for layer in self.layers", "x = self.layers[0](x)\n        for layer in self.layers[1:]"
        ),
    ],
)
def test_lists_that_are_followed(tmp_path: Path, code: str) -> None:
    assert _refused(tmp_path, code) == []


@pytest.mark.parametrize(
    "code",
    [
        # two layers in each round
        FIRST.replace("(nn.Dense(width))", "(nn.Dense(width)); layers.append(nn.LayerNorm())") + CALL,
        # in some rounds only
        FIRST.replace("layers.append(", "if width > 3: layers.append(") + CALL,
        # a place that isn't the end
        FIRST.replace("self.layers = layers", "layers.insert(0, nn.Dense(2)); self.layers = layers") + CALL,
        # a name that counts behind what the loop makes
        FIRST.replace("self.layers = layers", 'self.layers = [*layers, nn.Dense(2, name="last")]') + CALL,
        # a module of the list under another name, too
        FIRST.replace("self.layers = layers", "self.layers = layers; self.first = layers[0]") + CALL,
        # other orders and parts of the list
        FIRST + CALL.replace("in self.layers", "in reversed(self.layers)"),
        FIRST + CALL.replace("in self.layers", "in self.layers[::2]"),
        FIRST + CALL.replace("for layer in self.layers", "for layer in self.layers[2:]"),
        FIRST
        + CALL.replace("for layer in self.layers", "for i in range(3)").replace(
            "layer(x)", "self.layers[i](x)"
        ),
        FIRST + CALL.replace("x = layer(x)", "x = layer(x)\n            if self.deep: break"),
        FIRST + CALL.replace("x = layer(x)", "x = self.layers[-1](x)"),
        # a list of NNX can't be added to one of Python
        FIRST + "\n        self.all = self.layers + [nn.Dense(2)]\n" + CALL.replace("layers", "all"),
    ],
)
def test_lists_that_are_not(tmp_path: Path, code: str) -> None:
    assert _refused(tmp_path, code)
