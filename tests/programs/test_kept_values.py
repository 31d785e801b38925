"""Partials that give a layer which NNX lacks: they go on with the Linen form of their class."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
MODELS = Path(__file__).parents[2] / "fixtures/linen-module/program-model-by-name/before/models.py"
LAYERS = MODELS.read_text(encoding="utf-8").partition("ResNet4 = ")[0]
LAYERS += """\
class Outer(nn.Module):
  inner: nn.Module

  @nn.compact
  def __call__(self, x):
    return self.inner(nn.Dense(3)(x))
"""
PROGRAM = """\
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from layers import Outer, ResNet, ResNetBlock

x = jnp.ones((1, 4, 4, 3))
key = jax.random.key(0)
Usual = partial(ResNet, stage_sizes=[1], block_cls=ResNetBlock)
Usual(num_classes=5).init(key, x)
"""
LOCAL = "Local = partial(ResNet, stage_sizes=[1], block_cls=ResNetBlock, conv=nn.ConvLocal)\n"
FIRST, SECOND = Path("/project/layers.py"), Path("/project/main.py")


def fixed(code: str, program: str = PROGRAM) -> dict[Path, str]:
    texts, _ = fix_files({FIRST: LAYERS, SECOND: program + code}, RULES)
    return texts


def test_the_partial_keeps_the_linen_form() -> None:
    texts = fixed(LOCAL + "Local(num_classes=5).init(key, x)\n")
    assert "class ResNet(nnx.Module)" in texts[FIRST]
    assert "# The Linen form of `ResNet`, for Local\nclass LinenResNet(nn.Module)" in texts[FIRST]
    assert "class LinenResNetBlock(nn.Module)" in texts[FIRST] and "class LinenOuter" not in texts[FIRST]
    assert "Usual = partial(\n    Functional.maker(ResNet, lambda x:" in texts[SECOND]
    assert (
        "Local = partial(LinenResNet, stage_sizes=[1], block_cls=LinenResNetBlock, conv=nn.ConvLocal)"
        in texts[SECOND]
    )
    assert "from layers import LinenResNet, LinenResNetBlock, Outer, ResNet, ResNetBlock" in texts[SECOND]


def test_the_copy_ends_with_the_same_comment() -> None:
    layers = LAYERS.replace("\n\n\nclass ResNet(", "  # the sum of both\n\n\nclass ResNet(")
    program = PROGRAM + LOCAL + "Local(num_classes=5).init(key, x)\n"
    texts, _ = fix_files({FIRST: layers, SECOND: program}, RULES)
    assert texts[FIRST].count("  # the sum of both\n") == 2


def test_where_nothing_else_uses_the_class_it_stays() -> None:
    program = PROGRAM.replace(
        "Usual = partial(ResNet, stage_sizes=[1], block_cls=ResNetBlock)\nUsual(num_classes=5).init(key, x)\n",
        "",
    )
    texts = fixed(LOCAL + "Local(num_classes=5).init(key, x)\n", program)
    assert "class ResNet(nn.Module)" in texts[FIRST]
    assert "LinenResNet" not in texts[FIRST]


@pytest.mark.parametrize(
    "code",
    [
        "Local = partial(ResNet, stage_sizes=[1], block_cls=ResNetBlock)\nLocal(num_classes=5, conv=nn.ConvLocal).init(key, x)\n",  # the call gives it
        LOCAL + "Outer(Local(num_classes=5)).init(key, x)\n",  # a module that moves would get a Linen module
        LOCAL + "import zoo\nzoo.register(Local)\n",
    ],
)
def test_where_that_is_not_certain_the_class_stays(code: str) -> None:
    assert "class ResNet(nn.Module)" in fixed(code)[FIRST]
