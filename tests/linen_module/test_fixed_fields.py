"""Fields that hold axes: their values count where every construction in the project has the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn
import jax.numpy as jnp


class Scale(nn.Module):
    axis: int = -1

    @nn.compact
    def __call__(self, x):
        axis = self.axis % x.ndim if self.axis >= 0 else x.ndim + self.axis
        shape = tuple(d if i == axis else 1 for i, d in enumerate(x.shape))
        return x * self.param("scale", nn.initializers.ones, shape)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Scale()(nn.Conv(4, (3, 3))(x))
        return nn.Dense(3)(x.mean(axis=(1, 2)))
"""


def test_the_size_of_the_axis_is_known(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE)
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert "if self.axis != -1:\n            raise NotImplementedError(" in text
    assert "(1, 1, 1, in_features)" in text


@pytest.mark.parametrize(
    "more",
    [
        "other = Scale(axis=1)\n",
        "other = Scale(2)\n",
        "other = Scale(**options)\n",
        "other = {'scale': Scale}\n",
        "import functools\nother = functools.partial(Scale, axis=1)\n",
        "class Other(Scale):\n    axis: int = 1\n",
    ],
)
def test_another_axis_somewhere(tmp_path: Path, more: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"{CODE}\n\noptions = {{}}\n{more}")
    text, conversions = convert(path)
    assert "model.Scale" in conversions.refused
    assert "class Scale(nn.Module)" in text


def test_where_the_axis_makes_no_difference_nothing_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "import flax.linen as nn\nimport jax.numpy as jnp\n\n\nclass Net(nn.Module):\n    axis: int = -1\n\n"
        "    @nn.compact\n    def __call__(self, x):\n"
        "        return nn.Dense(3)(x).sum(axis=self.axis)\n"
    )
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert "NotImplementedError" not in text
