"""One of several layers that a class hands to another: both sides have to make each of them in the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class GroupNorm(nn.GroupNorm):
    def __call__(self, x):
        return super().__call__(x)


def norm_of(kind, train):
    if kind == "rms":
        return partial(nn.RMSNorm, epsilon=1e-5)
    return partial(nn.BatchNorm, use_running_average=not train)


class Block(nn.Module):
    features: int
    norm: Any

    @nn.compact
    def __call__(self, x):
        return x + self.norm()(nn.Dense(self.features)(x))


class Model(nn.Module):
    kind: str = "batch"
    train: bool = False

    @nn.compact
    def __call__(self, x, train):
        if self.kind == "batch":
            norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        elif self.kind == "group":
            norm = partial(GroupNorm, num_groups=2)
        else:
            norm = nn.LayerNorm
        x = norm(name="first")(x)
        x = Block(8, norm=norm)(x)
        return Block(8, norm)(x)
"""
LAST = "return Block(8, norm)(x)"
LAYER = "norm = nn.LayerNorm"
REFUSED = {
    "a class that gives its layer other sizes": (
        "super().__call__(x)",
        "super().__call__(jnp.concatenate([x, x], -1))",
    ),
    "a class of the project among the layers that does more": (
        "return super().__call__(x)",
        "return super().__call__(x) * self.num_groups",
    ),
    "the same layer in two ways": (LAYER, "norm = partial(nn.BatchNorm, use_running_average=not train)"),
    "a layer that NNX lacks": (LAYER, "norm = nn.WeightNorm"),
    "something else on one path": (LAYER, "norm = None"),
    "a layer that needs other sizes": (LAYER, "norm = partial(nn.Dense, features=8)"),
    "a partial of what is one of several": (LAST, "return Block(8, partial(norm, epsilon=1e-3))(x)"),
    "a variable that gets another value": (LAST, f"norm = nn.LayerNorm\n        {LAST}"),
    "a mode that changes": (LAST, f"train = True\n        {LAST}"),
    "a layer without the mode that others have": (LAST, "return Block(8, nn.LayerNorm)(x)"),
    "an argument that a partial binds, too": ("self.norm()(", "self.norm(num_groups=4)("),
    "a dict that changes": (LAST, "options = {'norm': nn.LayerNorm}\n        options['norm'] = nn.RMSNorm\n        return Block(8, **options)(x)"),
    "a dict of a variable that conditions bind": (LAST, "options = {'norm': norm}\n        return Block(8, **options)(x)"),
    "a function that gets a mode which only calls know": (LAST, "norm_ = norm_of(self.kind, train)\n        return Block(8, norm_)(x)"),
    "a function whose layers nothing else shows": (LAST, "norm_ = norm_of(self.kind, self.train)\n        return Block(8, norm_)(x)"),
}  # fmt: skip


def test_the_choice_is_handed_on_with_nnx_layers(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "norm = partial(nnx.BatchNorm, momentum=0.9)" in text
    assert "norm = partial(GroupNorm, num_groups=2)" in text
    assert "norm = nnx.LayerNorm" in text
    assert "Block(8, norm=norm, in_features=in_features, rngs=rngs)" in text
    assert "self.block_0(x, use_running_average=not train)" in text


def test_each_construction_has_its_own_mode(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    other = "norm_ = partial(nn.BatchNorm, use_running_average=True)\n        return Block(8, norm_)(x)"
    path.write_text(CODE.replace(LAST, other))
    text, conversions = convert(path)
    assert not conversions.refused
    assert "norm_ = partial(nnx.BatchNorm)" in text
    assert "self.block_0(x, use_running_average=not train)" in text
    assert "self.block_1(x, use_running_average=True)" in text


@pytest.mark.parametrize(("old", "new"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_alone(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    path = tmp_path / "model.py"
    path.write_text(CODE.replace(old, new))
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused


def test_what_stands_behind_a_raise_is_no_alternative(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    dead = 'elif self.kind == "cross":\n            raise NotImplementedError\n            norm = CrossNorm\n        else:'
    path.write_text(CODE.replace("else:", dead))
    text, conversions = convert(path)
    assert not conversions.refused
    assert "CrossNorm" not in text.partition("class Model")[2]


def test_a_dict_of_a_function_s_choice_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    chosen = """norm_ = norm_of(self.kind, self.train)
        options = {"norm": norm_}
        return norm_(name="last")(Block(8, **options)(x))"""
    text = CODE.replace("x = Block(8, norm=norm)(x)", "").replace(LAST, chosen)
    path.write_text(text)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "return partial(nnx.BatchNorm, use_running_average=not train)" in text
    assert "Block(8, **options, in_features=" in text
    assert "def __call__(self, x):" in text  # the constructor knows the mode


def test_what_a_function_binds_has_to_show(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    chosen = "return Block(8, norm=norm_)(x)"
    text = CODE.replace("x = Block(8, norm=norm)(x)", "norm_ = norm_of(self.kind, self.train)").replace(
        LAST, chosen
    )
    path.write_text(text)
    _, conversions = convert(path)
    assert "nothing else shows what that has to bind" in conversions.refused["model.Model"].detail


def test_a_field_may_get_different_layers(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    code = CODE.partition("class Model")[0]
    path.write_text(
        code
        + """class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Block(8, partial(GroupNorm, num_groups=4))(x)
        return Block(8, nn.RMSNorm)(x)
"""
    )
    text, conversions = convert(path)
    assert not conversions.refused
    assert "8, partial(GroupNorm, num_groups=4), in_features=" in text
    assert "Block(8, nnx.RMSNorm, in_features=" in text
