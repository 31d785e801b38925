"""Lists of layers that loops fill for `nn.Sequential`: what can't be followed stays Linen."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, train: bool = False):
"""
START = "layers = []\nfor width in self.widths:\n    layers.append(nn.Dense(width))\n"

REFUSED = {
    "filled elsewhere": START + "    self.more(layers)\nreturn nn.Sequential(layers)(x)",
    "read elsewhere": START + "y = layers[0](x)\nreturn nn.Sequential(layers)(x)",
    "read behind the call": START + "x = nn.Sequential(layers)(x)\nreturn layers[0](x)",
    "under another name": START + "other = layers\nother.append(nn.relu)\nreturn nn.Sequential(layers)(x)",
    "a mode that only the call knows": START
    + "    if train:\n        layers.append(nn.Dropout(0.5, deterministic=False))\nreturn nn.Sequential(layers)(x)",
    "a function that only the call knows": START
    + "    if train:\n        layers.append(nn.relu)\nreturn nn.Sequential(layers)(x)",
    "a loop that is left": START + "    if width > 3:\n        break\nreturn nn.Sequential(layers)(x)",
    "names of their own": START.replace("(width)", "(width, name=f'fc{width}')")
    + "return nn.Sequential(layers)(x)",
    "another module in between": START
    + "    scale = nn.Dense(2)(x)\nreturn nn.Sequential(layers)(x) * scale",
    "a module within an element": "class Twice(nn.Module):\n    inner: nn.Module\n\n    def __call__(self, y):\n"
    "        return self.inner(y) + y\n\n"
    + START.replace("nn.Dense(width)", "Twice(nn.Dense(3))")
    + "return nn.Sequential(layers)(x)",
    "a choice of the call": START
    + "layers.append(nn.LayerNorm() if train else nn.relu)\nreturn nn.Sequential(layers)(x)",
    "a choice of the call, written out": "return nn.Sequential([nn.LayerNorm() if train else nn.relu])(x)",
    "a choice with a mode of the call": START
    + "drop = len(self.widths) > 2\n"
    + "layers.append(nn.Dropout(0.5, deterministic=not train) if drop else nn.relu)\nreturn nn.Sequential(layers)(x)",
    "a choice with a mode of the call, written out": "return nn.Sequential([\n"
    + "    nn.BatchNorm(use_running_average=not train) if len(self.widths) > 2 else nn.relu\n])(x)",
    "a choice made before": "norm = nn.LayerNorm() if len(self.widths) > 2 else nn.relu\n"
    + "return norm(nn.Sequential([nn.Dense(3), norm])(x))",
    "a list behind the list": START + "return nn.Sequential([*layers, *layers])(x)",
    "batch norms without a mode": START
    + "    layers.append(nn.BatchNorm())\nreturn nn.Sequential(layers)(x)",
    "two arguments": START + "return nn.Sequential(layers)(x, x)",
}

FOLLOWED = {
    "a choice as an element": START
    + "layers.append(nn.LayerNorm() if len(self.widths) > 2 else nn.relu)\nreturn nn.Sequential(layers)(x)",
    "another list of the same name": START
    + "x = nn.Sequential(layers)(x)\nlayers = []\nfor w in self.widths:\n    layers += [nn.relu, nn.Dense(w)]\n"
    "return nn.Sequential(layers)(x)",
    "the name of the list for the sequence": START + "layers = nn.Sequential(layers)\nreturn layers(x)",
    "inputs that change in between": START
    + "x = jnp.concatenate([x, x], axis=-1)\nreturn nn.Sequential(layers)(x)",
    "another module behind the last element": START
    + "head = nn.Dense(2)\nreturn head(nn.Sequential(layers)(x))",
    "a dropout whose mode is known": START
    + "    layers.append(nn.Dropout(0.5, deterministic=True))\nreturn nn.Sequential(layers)(x)",
}


def _converted(tmp_path: Path, body: str) -> str | None:
    path = tmp_path / "model.py"
    helper = "\n    def more(self, layers):\n        layers.append(nn.relu)\n"
    path.write_text(HEADER + indent(dedent(body), " " * 8) + "\n" + helper)
    text, conversions = convert(path)
    return text if "model.Model" in conversions.converted else None


@pytest.mark.parametrize("case", REFUSED)
def test_lists_that_cannot_be_followed(tmp_path: Path, case: str) -> None:
    assert _converted(tmp_path, REFUSED[case]) is None


@pytest.mark.parametrize("case", FOLLOWED)
def test_lists_that_can(tmp_path: Path, case: str) -> None:
    text = _converted(tmp_path, FOLLOWED[case])
    assert text is not None
    constructor, _, method = text.partition("def __call__")
    assert "nnx.Sequential(*layers)" in constructor
    assert "append" not in method.partition("def more")[0]
