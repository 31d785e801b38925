"""Windows that a configuration gives: `patches.size` has a number for each axis; strides alone may be one number."""

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
from typing import Any, Sequence, Tuple

import flax.linen as nn


class Stem(nn.Module):
    patches: {kind}

    @nn.compact
    def __call__(self, images):
        x = {layer}(images)
        batch, height, width, channels = x.shape
        {rest}
"""
CONV = "nn.Conv(8, {size}, strides={size})"
FLAT = "return nn.Dense(4)(x.reshape(batch, -1))"
LAST = "return nn.Dense(4)(x)"


@pytest.mark.parametrize(
    ("kind", "layer", "rest", "moves"),
    [
        ("Any", CONV.format(size="self.patches.size"), FLAT, True),  # the code names four axes
        ("Any", CONV.format(size="self.patches.size"), LAST, True),  # channels are known all the same
        ("Sequence[int]", CONV.format(size="self.patches"), FLAT, True),
        ("Any", "nn.Conv(8, self.patches.size, strides=self.patches.step)", FLAT, False),
        ("Tuple[int, int]", CONV.format(size="self.patches"), FLAT, True),
        ("Any", "nn.Conv(8, (4, 4), strides=self.patches)", FLAT, False),
        ("int", "nn.Conv(8, (4, 4), strides=self.patches)", FLAT, True),
        ("Any", "(lambda x: nn.max_pool(x, self.patches.size))", FLAT, False),
    ],
)
def test_sizes_behind_a_window(tmp_path: Path, kind: str, layer: str, rest: str, moves: bool) -> None:
    path = tmp_path / "stem.py"
    path.write_text(CODE.format(kind=kind, layer=layer, rest=rest))
    _, conversions = convert(path)
    assert (conversions.refused == {}) is moves
