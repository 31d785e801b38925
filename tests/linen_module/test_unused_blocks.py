"""Blocks that nothing constructs get the layers that the blocks beside them get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from tests.linen_module.fixture import convert

CODE = """
from functools import partial
from typing import Any

import flax.linen as nn

ModuleDef = Any


class BasicBlock(nn.Module):
    filters: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x):
        y = nn.relu(self.norm()(self.conv(self.filters, (3, 3))(x)))
        return x + self.norm(scale_init=nn.initializers.zeros)(y)


class Bottleneck(nn.Module):
    filters: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x):
        y = nn.relu(self.norm()(self.conv(self.filters, (1, 1))(x)))
        y = nn.relu(self.norm()(self.conv(4 * self.filters, (3, 3))(y)))
        if x.shape != y.shape:
            x = self.conv(4 * self.filters, (1, 1), name="conv_proj")(x)
        return x + y


class ResNet(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        conv = partial(nn.Conv, use_bias=False)
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        return BasicBlock(x.shape[-1], conv=conv, norm=norm)(x)
"""


def _sides(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    path = tmp_path / "model.py"
    path.write_text(CODE)
    text, conversions = convert(path)
    assert conversions.refused == {}
    old, new = dict[str, Any](), dict[str, Any]()
    exec(CODE, old)
    exec(text, new)
    return old, new


@pytest.mark.parametrize("train", [False, True])
def test_the_unused_block_computes_the_same(tmp_path: Path, train: bool) -> None:
    old, new = _sides(tmp_path)
    parts = old["partial"], old["nn"]
    conv = parts[0](parts[1].Conv, use_bias=False)
    norm = parts[0](parts[1].BatchNorm, use_running_average=not train, momentum=0.9)
    before = old["Bottleneck"](3, conv=conv, norm=norm)
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 4))
    variables = jax.tree.map(lambda leaf: leaf + 0.1, before.init(jax.random.key(1), x))
    expected, updated = before.apply(variables, x, mutable=["batch_stats"])

    conv = new["partial"](nnx.Conv, use_bias=False)
    norm = new["partial"](nnx.BatchNorm, momentum=0.9)
    after = new["Bottleneck"](3, conv=conv, norm=norm, in_features=4, rngs=nnx.Rngs(0))
    names = {"Conv_0": "conv_0", "Conv_1": "conv_1", "conv_proj": "conv_proj"}
    names |= {"BatchNorm_0": "batch_norm_0", "BatchNorm_1": "batch_norm_1"}
    state = nnx.state(after)
    assert {path[0] for path, _ in nnx.to_flat_state(state)} == set(names.values())
    for collection in variables.values():
        for layer, leaves in collection.items():
            for leaf, value in leaves.items():
                getattr(getattr(after, names[layer]), leaf)[...] = value
    found = after(x, use_running_average=not train)
    assert jnp.array_equal(found, expected)
    mean = updated["batch_stats"]["BatchNorm_1"]["mean"]
    assert jnp.array_equal(after.batch_norm_1.mean[...], mean)


LEFT = {
    "a use that can't be followed": ("ModuleDef = Any", "ModuleDef = Any\nBLOCKS = lambda: [Bottleneck]"),
    "a field that is declared otherwise": (
        "class Bottleneck(nn.Module):\n    filters: int\n    conv: ModuleDef",
        "class Bottleneck(nn.Module):\n    filters: int\n    conv: type",
    ),
    "blocks that get different layers": (
        "        return BasicBlock(x.shape[-1], conv=conv, norm=norm)(x)",
        "        x = Other(4, conv=partial(nn.ConvTranspose, strides=(1, 1)))(x)\n"
        "        return BasicBlock(x.shape[-1], conv=conv, norm=norm)(x)\n\n\n"
        "class Other(nn.Module):\n    filters: int\n    conv: ModuleDef\n\n    @nn.compact\n"
        "    def __call__(self, x):\n        return self.conv(self.filters, (3, 3))(x)",
    ),
    "no other block": ("        return BasicBlock(x.shape[-1], conv=conv, norm=norm)(x)", "        return x"),
}


@pytest.mark.parametrize(("old", "new"), LEFT.values(), ids=LEFT)
def test_what_the_layers_are_has_to_be_clear(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    path = tmp_path / "model.py"
    path.write_text(CODE.replace(old, new))
    _, conversions = convert(path)
    assert "model.Bottleneck" in conversions.refused
