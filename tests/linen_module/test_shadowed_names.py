"""Names of layers that parameters of functions in the method shadow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(3)
        other = nn.Dense(3)
        {function}
        return f(other, x) + layer(x)
"""


@pytest.mark.parametrize(
    ("function", "written"),
    [
        ("f = lambda layer, x: layer(x)", "lambda layer, x: layer(x)"),
        ("def f(layer, x):\n            return layer(x)", "return layer(x)\n"),
        ("f = lambda module, x: module(x) + layer(x)", "lambda module, x: module(x) + self.layer(x)"),
    ],
)
def test_parameters_are_what_the_call_gives(tmp_path: Path, function: str, written: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(function=function))
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert written in text
    assert "return f(self.other, x) + self.layer(x)" in text


def test_a_counter_that_is_called_like_one_that_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "import flax.linen as nn\n\n\nclass Model(nn.Module):\n    depth: int = 2\n\n    @nn.compact\n"
        "    def __call__(self, x):\n        for _ in range(3):\n            x = x + 1\n"
        "        for _ in range(self.depth):\n            x = nn.Dense(4)(x) * (_ + 1)\n        return x\n"
    )
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert "for _ in range(self.depth):\n            x = self.dense_layers[_](x) * (_ + 1)" in text
