"""Functions that choose a layer and get its mode from calls."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

NORMS, MODEL = Path("/project/norms.py"), Path("/project/model.py")
FUNCTION = """\
from functools import partial

import flax.linen as nn


def norm_for(kind, train):
    if kind == "batch":
        return partial(nn.BatchNorm, use_running_average=not train)
    return nn.LayerNorm
"""
CLASSES = """\
import flax.linen as nn
import jax

from norms import norm_for


class Net(nn.Module):
    kind: str = "batch"
    fixed: bool = False

    @nn.compact
    def __call__(self, x, train: bool):
        norm = norm_for(self.kind, train)
        x = norm()(nn.Dense(4)(x))
        return norm()(nn.Dense(4)(x))


class Other(nn.Module):
    kind: str = "batch"
    fixed: bool = False

    @nn.compact
    def __call__(self, x, train: bool):
        return norm_for(self.kind, train)()(x)
"""


def fixed(function: str = FUNCTION, classes: str = CLASSES) -> tuple[str, str]:
    texts, _ = fix_files({NORMS: function, MODEL: classes}, resolve_rules(["linen-module"]))
    return texts[NORMS], texts[MODEL]


def test_the_function_loses_its_parameter_for_all_that_call_it() -> None:
    norms, model = fixed()
    assert "def norm_for(kind):" in norms and "return partial(nnx.BatchNorm)" in norms
    assert "norm = norm_for(self.kind)" in model and "norm_for(self.kind)(in_features, rngs=rngs)" in model
    assert model.count("use_running_average") == 2 and "(nn.Module)" not in model


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if kind ==", "if train and kind =="),  # the mode chooses the layer, too
        ("not train)", "not train, use_bias=train)"),
        ("    if kind", "    frozen = not train\n    if kind"),
        ("not train)", "frozen(train))"),
        ("(kind, train)", "(kind,\n             # whether it trains\n             train)"),
    ],
)
def test_functions_that_do_more_with_the_mode_stay(old: str, new: str) -> None:
    norms, model = fixed(FUNCTION.replace(old, new))
    assert "nnx" not in norms and "class Net(nn.Module)" in model


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return norm_for(self.kind, train)()(x)", "return norm_for(self.kind, self.fixed)()(x)"),
        ("x = norm()(nn.Dense(4)(x))", "x = norm()(nn.Dense(4)(x))\n        train = False"),
        ("norm()(nn.Dense(4)(x))\n\n", "norm_for(self.kind, not train)()(nn.Dense(4)(x))\n\n"),
        ("class Other", "def dense_norm(train):\n    return norm_for('layer', train)\n\n\nclass Other"),
    ],
)
def test_calls_that_give_other_modes_keep_it(old: str, new: str) -> None:
    assert old in CLASSES
    norms, model = fixed(classes=CLASSES.replace(old, new))
    assert "nnx" not in norms and "class Net(nn.Module)" in model
