"""Decorators of methods: those that change nothing stay, all others keep the class in Linen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import functools
from functools import partial
from typing import TypeVar, cast

import beartype
import flax.linen as nn
import jax
from jaxtyping import jaxtyped

T = TypeVar("T")
checked = jaxtyped(typechecker=beartype.beartype)


def typecheck(t: T) -> T:
    \"\"\"Check shapes and types.\"\"\"
    return cast(T, partial(jaxtyped, typechecker=beartype.beartype)(t))


def doubled(method):
    @functools.wraps(method)
    def wrapper(self, x):
        return 2 * method(self, x)

    return wrapper


def checked_and_doubled(method):
    method = doubled(method)
    return typecheck(method)


class Model(nn.Module):
    @{decorator}
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)
"""


@pytest.mark.parametrize(
    "decorator",
    [
        "typecheck",
        "checked",
        "beartype.beartype",
        "jaxtyped(typechecker=None)",
        "partial(jaxtyped, typechecker=beartype.beartype)",
        'jax.named_scope("model")',
        'partial(jax.named_call, name="model")',
    ],
)
def test_decorators_that_keep_the_method(tmp_path: Path, decorator: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(decorator=decorator))
    text, conversions = convert(path)
    assert "model.Model" in conversions.converted
    assert f"    @{decorator}\n    def __call__(self, x):" in text


@pytest.mark.parametrize(
    "decorator", ["doubled", "checked_and_doubled", "partial(doubled)", "jax.jit", "unknown"]
)
def test_other_decorators(tmp_path: Path, decorator: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(decorator=decorator))
    _, conversions = convert(path)
    assert conversions.refused["model.Model"].reason == "unsupported-layer"
