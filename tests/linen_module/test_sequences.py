"""`nn.Sequential` of lists: layers whose sizes the constructor can't tell stay, with a reason."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\n\n\n"
CASES = {
    "each layer has another width": "nn.Sequential([nn.Dense(w) for w in self.widths])(x)",
    "the first layer gets another width": "nn.Sequential([nn.Dense(4) for _ in self.widths])(x)",
    "layers and functions": "nn.Sequential([f for w in self.widths for f in (nn.Dense(4), nn.relu)])(x)",
    "some layers": "nn.Sequential([nn.Dense(x.shape[-1]) for w in self.widths if w > 2])(x)",
    "two inputs": "nn.Sequential([Pair() for w in self.widths])(x, x)",
}
MODEL = """
class Pair(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        return nn.Dense(3)(x), y


class Model(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        return {expression}
"""


@pytest.mark.parametrize("case", CASES)
def test_sequences_that_stay(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(MODEL.format(expression=CASES[case])).lstrip())
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused


def test_layers_that_keep_the_size_convert(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    expression = "nn.Sequential([nn.Dense(x.shape[-1]) for w in self.widths])(x)"
    path.write_text(HEADER + dedent(MODEL.format(expression=expression)).lstrip())
    text, conversions = convert(path)
    assert "model.Model" in conversions.converted
    assert "*[nnx.Linear(in_features, in_features, rngs=rngs) for w in self.widths]" in text
