"""Partials as the defaults of factory fields are converted only where they say all that the layers need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
from functools import partial
from typing import Any

import flax.linen as nn


class Block(nn.Module):
    features: int
    norm: Any = partial(nn.LayerNorm, epsilon=1e-6)
    act: Any = nn.relu

    @nn.compact
    def __call__(self, x):
        return self.act(self.norm()(nn.Dense(self.features)(x)))


class Net(nn.Module):
    block: Any = partial(Block, act=nn.gelu)

    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(self.block(16)(x))
"""


def refusals(tmp_path: Path, code: str) -> tuple[str, dict[str, str]]:
    """The converted file, and the details of what was refused."""
    path = tmp_path / "before.py"
    path.write_text(code)
    text, conversions = convert(path)
    return text, {name.rpartition(".")[2]: refusal.detail for name, refusal in conversions.refused.items()}


def test_the_defaults_are_nnx_partials(tmp_path: Path) -> None:
    text, refused = refusals(tmp_path, CODE)
    assert not refused
    assert "norm: Any = partial(nnx.LayerNorm, epsilon=1e-6)" in text
    assert "block: Any = partial(Block, act=nnx.gelu)" in text


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        # nothing but a call of the module could tell the mode
        ("nn.LayerNorm, epsilon=1e-6", "nn.BatchNorm, use_running_average=True", {"Block", "Net"}),
        # a layer that NNX lacks under its own name
        ("nn.LayerNorm, epsilon=1e-6", "nn.SpectralNorm, n_steps=2", {"Block", "Net"}),
        # a call gives the norm by position, which nothing shows to be a layer
        ("self.block(16)", "self.block(16, make_norm())", {"Block", "Net"}),
        ("self.block(16)", "self.block(*self.args)", {"Block", "Net"}),
    ],
)
def test_other_defaults_are_refused(tmp_path: Path, old: str, new: str, names: set[str]) -> None:
    assert old in CODE
    _, refused = refusals(tmp_path, CODE.replace(old, new))
    assert refused.keys() == names
