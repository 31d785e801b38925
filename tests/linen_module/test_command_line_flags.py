"""Sizes that modules take from absl's flags, which have their values before a program makes modules."""

from __future__ import annotations

from pathlib import Path

from tests.linen_module.fixture import convert

CODE = """
from absl import flags
import flax.linen as nn

flags.DEFINE_integer("width", 8, "Features of the hidden layer.")
FLAGS = flags.FLAGS


class Hidden(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(self.width)(x))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Hidden(FLAGS.width)(x)
        x = nn.Dense(FLAGS.model.width // 2)(x)
        return nn.Dense(3)(x)
"""


def test_flags_are_sizes_that_the_constructor_knows(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE)
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert "self.hidden = Hidden(FLAGS.width, in_features=in_features, rngs=rngs)" in text
    assert "self.dense_0 = nnx.Linear(FLAGS.width, FLAGS.model.width // 2, rngs=rngs)" in text
    assert "self.dense_1 = nnx.Linear(FLAGS.model.width // 2, 3, rngs=rngs)" in text


def test_flags_of_another_file_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.replace("FLAGS = flags.FLAGS\n", "").replace("FLAGS.", "flags.FLAGS."))
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert "self.dense_1 = nnx.Linear(flags.FLAGS.model.width // 2, 3, rngs=rngs)" in text
