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


def typed(function: T) -> T:
    return jaxtyped(function, typechecker=beartype.beartype)


def named_typed(function):
    return jaxtyped(function, name="model")


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
        "typed",
        "checked",
        "beartype.beartype",
        "jaxtyped(typechecker=None)",
        "partial(jaxtyped, typechecker=beartype.beartype)",
        'jax.named_scope("model")',
        'partial(jax.named_call, name="model")',
        "doubled",
    ],
)
def test_decorators_that_keep_the_method(tmp_path: Path, decorator: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(decorator=decorator))
    text, conversions = convert(path)
    assert "model.Model" in conversions.converted
    assert f"    @{decorator}\n    def __call__(self, x):" in text


@pytest.mark.parametrize(
    "decorator", ["checked_and_doubled", "named_typed", "partial(doubled)", "jax.jit", "unknown"]
)
def test_other_decorators(tmp_path: Path, decorator: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(decorator=decorator))
    _, conversions = convert(path)
    assert conversions.refused["model.Model"].reason == "unsupported-layer"


WRAPPED = """\
import flax.linen as nn
import jax.numpy as jnp


def decorator(forward):
    {inner}
    return wrapped


class Model(nn.Module):
    @nn.compact
    @decorator
    def __call__(self, x, y):
        return nn.Dense(3)(jnp.concatenate([x, y], {axis}))
"""


@pytest.mark.parametrize(
    ("inner", "axis", "converted"),
    [
        ("def wrapped(self, x, y): return forward(self, x, y)", -1, True),
        ("def wrapped(self, x, y): return 2 * forward(self, x, y=y)", -1, True),
        ("def wrapped(self, x, y): return forward(self, x.reshape(-1, x.shape[-1]), y)", -1, True),
        ("def wrapped(self, x, **more): return forward(self, 2 * x, **more)", -1, True),
        # Other features, or arguments that nobody can tell.
        ("def wrapped(self, x, y): return forward(self, x[..., None], y)", -1, False),
        ("def wrapped(self, x, y): return forward(self, y, x)", -1, False),
        ("def wrapped(self, y, x): return forward(self, x, y)", -1, False),
        ("def wrapped(self, *inputs): return forward(self, *inputs)", -1, False),
        ("def wrapped(self, x, y=None): return forward(self, x, y)", -1, False),
        # What the method takes is of another form than what callers give, and it doesn't take features alone.
        ("def wrapped(self, x, y): return forward(self, x.reshape(-1, x.shape[-1]), y)", 1, False),
        # More than a call of the method.
        ("def wrapped(self, x, y): return self.other(forward(self, x, y))", -1, False),
        ("def wrapped(self, x, y): return nn.relu(forward(self, x, y))", -1, False),
    ],
)
def test_functions_that_wrap_a_method(tmp_path: Path, inner: str, axis: int, converted: bool) -> None:
    path = tmp_path / "model.py"
    path.write_text(WRAPPED.format(inner=inner, axis=axis))
    text, conversions = convert(path)

    assert ("model.Model" in conversions.converted) is converted
    assert not converted or "    @decorator\n    def __call__(self, x, y):" in text


@pytest.mark.parametrize("decorator", ["doubled_features", "nn.vmap"])
def test_classes_around_a_decorated_method_do_not_take_its_own_result(tmp_path: Path, decorator: str) -> None:
    path = tmp_path / "model.py"
    code = MODEL.replace("{decorator}", decorator).replace(
        "class Model",
        """
def doubled_features(method):
    def wrapper(self, x):
        return jax.numpy.concatenate([method(self, x)] * 2, axis=-1)

    return wrapper


class Model""".strip(),
    )
    path.write_text(
        code
        + """

class Around(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(Model()(x))
"""
    )
    _, conversions = convert(path)

    assert "model.Around" in conversions.refused


def test_classes_around_a_mapped_class_do_not_take_the_result_of_one_member(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        """\
from functools import partial

import flax.linen as nn


@partial(
    nn.vmap, in_axes=None, out_axes=-1, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=2
)
class Members(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(5)(x)


class Around(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Members()(x))
"""
    )
    _, conversions = convert(path)

    assert set(conversions.refused) == {"model.Members", "model.Around"}
