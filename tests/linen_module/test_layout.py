"""How written constructors are laid out: the file's own indentation, and nothing left of what moved away."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import SourceText
from tests.linen_module.fixture import convert

NARROW = '''\
from typing import Sequence

from flax import linen as nn


class Base(nn.Module):
  """Has fields alone, and no method that would show how far blocks are indented."""

  width: int = 3


class Tower(Base):
  features: Sequence[int] = (4, 5)

  @nn.compact
  def __call__(self, x):
    for i, size in enumerate(self.features):
      if i == 0:
        kernel_init = nn.initializers.ones
      elif i + 1 < len(self.features):
        kernel_init = nn.initializers.lecun_normal()
      else:
        kernel_init = nn.initializers.zeros
      x = nn.Dense(size, use_bias=False, kernel_init=kernel_init)(x)
    return x
'''


def written(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(NARROW)
    text, conversions = convert(path)
    assert not conversions.refused
    return text


def test_blocks_are_indented_as_the_file_does(tmp_path: Path) -> None:
    assert "  def __init__(self, width: int = 3):\n    self.width = width\n" in written(tmp_path)


def test_brackets_hang_alike(tmp_path: Path) -> None:
    lines = written(tmp_path).splitlines()
    opening = next(i for i, line in enumerate(lines) if line.endswith(".append("))
    columns = [len(line) - len(line.lstrip()) for line in lines[opening : opening + 3]]
    assert columns == [6, 10, 14]


def test_conditions_go_with_what_they_decide(tmp_path: Path) -> None:
    _, _, call = written(tmp_path).rpartition("def __call__")
    assert (
        call.split(":\n", 1)[1] == "    for dense in self.dense_layers:\n      x = dense(x)\n    return x\n"
    )


ALIASES = """\
import flax.linen as nn

ACTIVATION = nn.gelu


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        activation = nn.tanh
        init = nn.initializers.zeros
        x = activation(nn.Dense(4, bias_init=init)(x))
        x = ACTIVATION(x)

        def last(y):
            return activation(nn.relu(y))

        return last(x)
"""


def test_functions_keep_the_names_that_the_code_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(ALIASES)
    text, _ = convert(path)
    assert "init = nnx.initializers.zeros\n" in text and "bias_init=init," in text
    assert "activation = nnx.tanh\n" in text and "x = activation(self.dense(x))" in text
    assert "ACTIVATION = nn.gelu\n" in text and "x = ACTIVATION(x)" in text
    assert "return activation(nnx.relu(y))" in text


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        ([("    ", 70)] * 99 + [("    ", 150)], 88),  # a link stands out
        ([("    ", 95)] * 20 + [("    ", 60)] * 80, 100),
        ([("    ", 118)] * 20 + [("    ", 60)] * 80, 120),
        ([("    ", 140)] * 20 + [("    ", 60)] * 80, 100),
        ([("  ", 70)] * 99 + [("  ", 120)], 80),
        ([("  ", 85)] * 20 + [("  ", 60)] * 80, 88),
        ([], 88),
    ],
)
def test_lines_get_as_long_as_the_file_has_them(lines: list[tuple[str, int]], limit: int) -> None:
    text = "".join(indent.ljust(length, "x") + "\n" for indent, length in lines)
    assert line_limit(SourceText(text)) == limit


TWO_CONDITIONS = """\
from typing import Sequence

from flax import linen as nn


class Tower(nn.Module):
    features: Sequence[int] = (4, 5)
    normalised: bool = True
    to_the_end: bool = False

    @nn.compact
    def __call__(self, x):
        for i, size in enumerate(self.features):
            x = nn.Dense(size)(x)
            if i + 1 < len(self.features) or self.to_the_end:
                x = nn.relu(x)
                if self.normalised:
                    x = nn.LayerNorm()(x)
        return x
"""


def test_two_conditions_of_one_layer_are_one_for_the_constructor(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(TWO_CONDITIONS)
    text, _ = convert(path)
    assert text.count("append(None)") == 1
    assert "if (i + 1 < len(self.features) or self.to_the_end) and self.normalised:\n" in text
