"""Modules that functions make, outside of classes, for the code of other classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

TEXT = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Encoder(nn.Module):
    n: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.n)(x)


def make_encoder(kind, n):
    {function}


class Net(nn.Module):
    kind: str = "a"

    def setup(self):
        {setup}

    def __call__(self, x):
        return {call}


params = Net().init(jax.random.key(0), jnp.ones((2, 4)))
"""


def fixed(function: str, setup: str, call: str) -> tuple[str, str]:
    """The file before and after."""
    before = TEXT.format(function=function, setup=setup, call=call)
    path = Path("/project/model.py")
    texts, _ = fix_files({path: before}, resolve_rules(["linen-module"]))
    return before, texts[path]


@pytest.mark.parametrize(
    ("function", "setup", "call"),
    [
        (
            "parts = {'a': Encoder(n), 'b': Encoder(2 * n)}\n    return parts[kind]",
            "self.encoder = make_encoder(self.kind, 3)",
            "self.encoder(x)",
        ),
        (
            "return Encoder(n)",
            "self.encoder = make_encoder(self.kind, 3)",
            "self.encoder(x) * len(self.scope.path)",
        ),
        (
            "return Encoder(n)",
            "self.parts = dict(a=make_encoder(self.kind, 3))",
            "self.parts['a'](x) + self.scope",
        ),
    ],
    ids=["one of two", "a class that stays", "in a dict"],
)
def test_they_stay_with_a_class_that_stays(function: str, setup: str, call: str) -> None:
    before, after = fixed(function, setup, call)
    assert after == before


def test_they_move_with_a_class_that_makes_them_itself() -> None:
    _, after = fixed("return Encoder(n)", "self.encoder = make_encoder(self.kind, 3)", "self.encoder(x)")
    assert after.count("(nnx.Module)") == 2
    assert "self.encoder = Encoder(3, in_features=in_features, rngs=rngs)" in after
