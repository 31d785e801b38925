"""Attributes that hold submodules are named after their classes, but for names that Python has taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
import flax.linen as nn


class {name}(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        {body}
        return x
"""
LOOP = "for _ in range(2):\n            x = {name}()(x)"


@pytest.mark.parametrize(
    ("name", "body", "written"),
    [
        ("Block", "x = {name}()(x)", "x = self.block(x)"),
        ("Lambda", "x = {name}()(x)", "x = self.lambda_(x)"),
        ("Block", LOOP, "for block in self.blocks:"),
        ("A", LOOP, "for a in self.a_list:"),
        ("I", LOOP, "for i in self.i_list:"),
        ("MLPBlock", "x = {name}()(x)", "x = self.mlp_block(x)"),
        ("YOLOv8Neck", "x = {name}()(x)", "x = self.yolov8_neck(x)"),
        ("ResNetV2", "x = {name}()(x)", "x = self.res_net_v2(x)"),
    ],
)
def test_names_of_classes_become_names_of_attributes(
    tmp_path: Path, name: str, body: str, written: str
) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(name=name, body=body.format(name=name)))
    text, conversions = convert(path)
    assert not conversions.refused
    assert written in text


COUNTED = """
import flax.linen as nn


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        {before}
        for _ in range(2):
            x = nn.LayerNorm()(nn.Dense(4)(x))
        return x
"""


@pytest.mark.parametrize(("before", "counter"), [("pass", "i"), ("i = 3", "j")])
def test_loops_that_index_lists_have_a_counter_with_a_name(tmp_path: Path, before: str, counter: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(COUNTED.format(before=before))
    text, _ = convert(path)
    assert f"for {counter} in range(2):" in text.partition("def __call__")[2]
    assert f"self.layer_norms[{counter}](self.dense_layers[{counter}](x))" in text
