"""Helpers whose variables have Linen's names for what lists hold, against Linen's own `init` and `apply`."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnx_migrate.nnx.helpers.listing import (
    ListingBridgingFunctional,
    ListingCachingFunctional,
    ListingFunctional,
)

X = jax.random.normal(jax.random.key(1), (5, 3))


class LinenBlock(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, train=False):
        for i in range(2):
            x = nn.Dense(self.width, name=f"layer_{i}")(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        self.sow("intermediates", "hidden", x)
        return x


class LinenNet(nn.Module):
    def setup(self):
        self.blocks = [[LinenBlock(4), LinenBlock(3)], [LinenBlock(2)]]
        self.head_1 = nn.Dense(2)

    def __call__(self, x, train=False):
        for row in self.blocks:
            for block in row:
                x = block(x, train)
        return self.head_1(x)


class Block(nnx.Module):
    def __init__(self, width: int, *, in_features: int, rngs: nnx.Rngs):
        self.layer = nnx.List()
        for _ in range(2):
            self.layer.append(nnx.Linear(in_features, width, rngs=rngs))
            in_features = width
        self.BatchNorm_0 = nnx.BatchNorm(width, rngs=rngs)

    def __call__(self, x, train=False):
        for layer in self.layer:
            x = layer(x)
        x = self.BatchNorm_0(x, use_running_average=not train)
        self.sow(nnx.Intermediate, "hidden", x)
        return x


class Net(nnx.Module):
    def __init__(self, *, in_features: int, rngs: nnx.Rngs):
        first = nnx.List([Block(4, in_features=in_features, rngs=rngs), Block(3, in_features=4, rngs=rngs)])
        self.blocks = nnx.List([first, nnx.List([Block(2, in_features=3, rngs=rngs)])])
        self.head_1 = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, x, train=False):
        for row in self.blocks:
            for block in row:
                x = block(x, train)
        return self.head_1(x)


def shapes(tree):
    return jax.tree.map(lambda a: (a.shape, a.dtype), tree)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


def test_names_are_those_of_linen_in_nested_lists_too() -> None:
    model, linen = ListingFunctional(Net, in_features=3), LinenNet()
    made, expected = model.init(jax.random.key(0), X), linen.init(jax.random.key(0), X)
    assert shapes(made) == shapes(expected)
    assert "layer_1" in made["params"]["blocks_1_0"]
    assert shapes(model.lazy_init(jax.random.key(0), X)) == shapes(expected)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_calls_take_and_give_variables_by_these_names(wrap) -> None:
    model, linen = ListingFunctional(Net, in_features=3), LinenNet()
    variables = linen.init(jax.random.key(0), X)
    variables = jax.tree.map(lambda a: a + 0.1 * jnp.arange(float(a.size)).reshape(a.shape), variables)
    for train in (False, True):
        runs = [
            wrap(lambda v, m=m, train=train: m.apply(v, X, train, mutable=["batch_stats", "intermediates"]))(
                variables
            )
            for m in (linen, model)
        ]
        assert_same(*runs)
    assert_same(linen.apply(variables, X), wrap(model.apply)(variables, X))
    output, made = model.init_with_output(jax.random.key(0), X)
    assert_same(output, linen.apply(made, X))


def test_gradients_have_these_names() -> None:
    model, linen = ListingFunctional(Net, in_features=3), LinenNet()
    variables = linen.init(jax.random.key(0), X)
    params, stats = variables["params"], variables["batch_stats"]
    grads = [
        jax.grad(lambda p, m=m: (m.apply({"params": p, "batch_stats": stats}, X) ** 2).sum())(params)
        for m in (linen, model)
    ]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), *grads)


def test_variables_that_lack_a_block_are_refused() -> None:
    model = ListingFunctional(Net, in_features=3)
    variables = model.init(jax.random.key(0), X)
    del variables["params"]["blocks_0_1"]
    with pytest.raises(KeyError, match="no variable blocks/0/1"):
        model.apply(variables, X)


def test_two_modules_of_one_name_are_refused() -> None:
    class Twice(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.part = nnx.List([nnx.Linear(2, 2, rngs=rngs)])
            self.part_0 = nnx.Linear(2, 2, rngs=rngs)

    with pytest.raises(ValueError, match="part_0"):
        ListingFunctional(Twice).init(jax.random.key(0))


class Memory(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(3, 3, rngs=rngs)
        self.seen = nnx.data(None)

    def __call__(self, x):
        x = self.dense(x)
        if self.seen is None:
            self.seen = nnx.Cache(jnp.zeros_like(x))
        self.seen.set_value(self.seen[...] + x)
        return self.seen[...]


class Memories(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.memory = nnx.List([Memory(rngs), Memory(rngs)])

    def __call__(self, x):
        for memory in self.memory:
            x = memory(x)
        return x


def test_caches_in_lists() -> None:
    model = ListingCachingFunctional(Memories)
    variables = model.init(jax.random.key(0), X)
    assert {name: sorted(tree) for name, tree in variables.items()} == {
        "params": ["memory_0", "memory_1"],
        "cache": ["memory_0", "memory_1"],
    }
    assert shapes(model.init_with_output(jax.random.key(0), X)[1]) == shapes(variables)
    first, updated = model.apply(variables, X, mutable=["cache"])
    second, _ = model.apply({**variables, **updated}, X, mutable=["cache"])
    kernel, bias = variables["params"]["memory_0"]["dense"].values()
    inner = X @ kernel + bias if kernel.ndim == 2 else X @ bias + kernel
    seen = [2 * inner, 3 * inner]  # the first call was that of `init`
    np.testing.assert_allclose(updated["cache"]["memory_0"]["seen"], seen[0], rtol=1e-5)
    assert not np.allclose(first, second)


class Bridged(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.block = nnx.List([nnx.bridge.ToNNX(LinenBlock(4), rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        x = self.first(x)
        for block in self.block:
            x = block(x)
        return x


class LinenBridged(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4, name="first")(x)
        for i in range(2):
            x = LinenBlock(4, name=f"block_{i}")(x)
        return x


def test_linen_modules_in_lists() -> None:
    model, linen = ListingBridgingFunctional(Bridged), LinenBridged()
    variables = model.init(jax.random.key(0), X)
    wanted = linen.init(jax.random.key(0), X)
    assert shapes(variables["params"]) == shapes(wanted["params"])
    np.testing.assert_allclose(model.apply(wanted, X), linen.apply(wanted, X), rtol=1e-6)


def test_variables_of_a_converted_checkpoint_are_taken_as_they_are() -> None:
    model = ListingFunctional(Net, in_features=3)
    variables = model.init(jax.random.key(0), X)
    _, state, _ = nnx.split(model.bind(variables), nnx.Param, ...)
    nested = _with_text_keys(nnx.to_pure_dict(state))
    assert "blocks" in nested
    as_text = {"params": nested, "batch_stats": variables["batch_stats"]}
    np.testing.assert_array_equal(model.apply(as_text, X), model.apply(variables, X))


def _with_text_keys(tree):
    return {str(k): _with_text_keys(v) for k, v in tree.items()} if isinstance(tree, dict) else tree
