"""Fields that hold a class, which code compares with one of the project."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

FILE = Path("/project/model.py")
CODE = """\
from functools import partial
from typing import Any

import flax.linen as nn
import jax


class Plain(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Gated(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.silu(nn.Dense(self.width)(x)) * x


class Net(nn.Module):
    width: int
    layer: Any = {default}

    @nn.compact
    def __call__(self, x):
        x = self.layer(self.width)(x)
        if {condition}:
            x = nn.LayerNorm()(x)
        return x


def main(x):
    model = Net(4, {given})
    return model.init(jax.random.key(0), x)
"""


def fixed(condition: str, default: str = "Plain", given: str = "Gated") -> str:
    code = CODE.format(condition=condition, default=default, given=given)
    texts, _ = fix_files({FILE: code}, resolve_rules(["linen-module"]))
    return texts[FILE]


@pytest.mark.parametrize("condition", ["self.layer == Plain", "Gated is not self.layer"])
def test_the_class_is_an_attribute_too(condition: str) -> None:
    found = fixed(condition)
    assert found.count(f"if {condition}:") == 2 and "self.layer = layer" in found


@pytest.mark.parametrize(
    "condition",
    [
        "issubclass(self.layer, Plain)",  # may ask for more than the class itself
        "self.layer in (Plain, Gated)",
        "self.layer == self.width",
        "self.layer.__name__ == 'Plain'",
    ],
)
def test_other_questions_keep_the_class_linen(condition: str) -> None:
    assert "class Net(nn.Module)" in fixed(condition)


def test_layers_of_linen_are_no_attributes() -> None:
    assert "class Net(nn.Module)" in fixed("self.layer == Plain", default="nn.Dense", given="nn.Dense")
