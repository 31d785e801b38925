"""Modules in a dictionary that hold the same module: the variables are where Linen has them."""

import copy
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from nnx_migrate.nnx.helpers.functional import Functional
from nnx_migrate.nnx.helpers.sharing import SharingFunctional


class LinenAll(nn.Module):
    modules: dict[str, nn.Module]

    @nn.compact
    def __call__(self, x):
        return {key: self.modules[key](x) for key in self.modules}


class LinenPart(nn.Module):
    inner: Any = None

    @nn.compact
    def __call__(self, x):
        return self.inner(x) if self.inner is not None else nn.Dense(2, name="dense")(x)


class All(nnx.Module):
    def __init__(self, modules: dict[str, nnx.Module]):
        self._modules = tuple(modules)
        for key, module in modules.items():
            setattr(self, f"modules_{key}", module)

    def __call__(self, x):
        return {key: getattr(self, f"modules_{key}")(x) for key in self._modules}


class Part(nnx.Module):
    def __init__(self, inner=None, *, rngs: nnx.Rngs):
        self.inner = inner
        if inner is None:
            self.dense = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, x):
        return self.inner(x) if self.inner is not None else self.dense(x)


def own_entry(part: Callable[..., Any]) -> dict[str, Any]:
    inner = part()
    return {"actor": part(inner), "encoder": inner, "critic": part(part(inner))}


def two_holders(part: Callable[..., Any]) -> dict[str, Any]:
    inner = part()
    return {"b": part(inner), "a": part(part(inner))}


def entry_within_entry(part: Callable[..., Any]) -> dict[str, Any]:
    inner = part()
    outer = part(inner)
    return {"a": part(outer), "b": outer, "z": inner, "y": copy.deepcopy(outer)}


def within_what_comes_later(part: Callable[..., Any]) -> dict[str, Any]:
    inner = part()
    outer = part(inner)
    return {"a": part(outer), "b": part(inner), "c": outer}


def same_twice(part: Callable[..., Any]) -> dict[str, Any]:
    inner = part()
    return {"b": inner, "a": inner}


@pytest.mark.parametrize(
    "make", [own_entry, two_holders, entry_within_entry, within_what_comes_later, same_twice]
)
def test_the_owner_is_that_of_linen(make: Callable[..., dict[str, Any]]) -> None:
    x, key = jnp.ones((1, 2)), jax.random.key(0)
    linen, made = LinenAll(make(LinenPart)), SharingFunctional(All, make(lambda *a: Functional(Part, *a)))
    variables = linen.init(key, x)
    assert jax.tree.map(jnp.shape, made.init(key, x)) == jax.tree.map(jnp.shape, variables)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, made.apply(variables, x), linen.apply(variables, x)))
    bound = made.bind(variables)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, bound(x), linen.apply(variables, x)))
