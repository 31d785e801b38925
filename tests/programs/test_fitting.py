"""Modules that get their variables before they have seen an input: these show the sizes."""

import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnx_migrate.nnx.helpers.functional import Functional
from nnx_migrate.nnx.helpers.listing import ListingFunctional
from tests.rules.harness import fix_files, resolve_rules

X = jax.random.normal(jax.random.key(1), (2, 4, 6))
COND = jax.random.normal(jax.random.key(2), (2, 4, 3))


class Block(nnx.Module):
    def __init__(self, width: int, *, in_features: int, cond_features: int | None = None, rngs: nnx.Rngs):
        self.attention = nnx.MultiHeadAttention(2, in_features, decode=False, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(in_features, in_features, rngs=rngs) for _ in range(2)])
        self.out = nnx.Linear(in_features, width, rngs=rngs)
        if cond_features is not None:
            self.cond = nnx.Linear(cond_features, width, rngs=rngs)

    def __call__(self, x, cond=None):
        x = self.attention(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.out(x) if cond is None else self.out(x) + self.cond(cond)


class Pair(nnx.Module):
    def __init__(self, first, second, *, rngs: nnx.Rngs):
        self.first, self.second = first, second

    def __call__(self, x, cond=None):
        return self.second(self.first(x, cond), None)


class Flat(nnx.Module):
    def __init__(self, *, height: int, width: int, rngs: nnx.Rngs):
        self.dense = nnx.Linear(height * width, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(x.reshape(x.shape[0], -1))


def block(width: int = 5, kind: type[Functional] = Functional) -> Functional:
    def sizes(x, cond):
        return {
            "in_features": x.shape[-1],
            "cond_features": cond.shape[-1] if cond is not None else None,
        }

    return kind(Block, width).sized(sizes)


@pytest.mark.parametrize("cond", [None, COND], ids=["left-out", "given"])
@pytest.mark.parametrize("kind", [Functional, ListingFunctional])
def test_sizes_are_read_off_the_variables(kind: type[Functional], cond: jax.Array | None) -> None:
    variables = block(kind=kind).init(jax.random.key(0), X, cond)
    expected = block(kind=kind).apply(variables, X, cond)
    bound = block(kind=kind).bind(variables)
    np.testing.assert_array_equal(bound(X, cond), expected)
    assert hasattr(bound, "cond") == (cond is not None)
    jitted = jax.jit(lambda v, x: block(kind=kind).bind(v)(x, cond))
    np.testing.assert_allclose(jitted(variables, X), expected, rtol=1e-5)


def test_modules_among_the_arguments() -> None:
    variables = Functional(Pair, block(6), block(4)).init(jax.random.key(0), X, COND)
    expected = Functional(Pair, block(6), block(4)).apply(variables, X, COND)
    np.testing.assert_array_equal(Functional(Pair, block(6), block(4)).bind(variables)(X, COND), expected)


def test_sizes_that_variables_do_not_show() -> None:
    def flat() -> Functional:
        return Functional(Flat).sized(lambda x: {"height": x.shape[1], "width": x.shape[2]})

    model = flat()
    variables = model.init(jax.random.key(0), X)
    unseen = flat()
    with pytest.raises(TypeError, match=r"Flat\(\) takes sizes from its inputs: call `init` or `apply`"):
        unseen.bind(variables)
    np.testing.assert_array_equal(unseen.apply(variables, X), model.apply(variables, X))
    np.testing.assert_array_equal(unseen.bind(variables)(X), model.apply(variables, X))


def test_variables_of_another_model() -> None:
    variables = block(5).init(jax.random.key(0), X, None)
    with pytest.raises(TypeError, match="takes sizes from its inputs"):
        block(7).bind(variables)


PROGRAM = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(4)(x)))


def run(x):
    params = Net().init(jax.random.key(0), x)
    net = Net()
    net = net.bind(params)
    return jax.vmap(lambda row: net(row))(x), Net().bind(params)(x), params
"""


def test_programs_that_bind_what_nothing_has_initialised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "main.py"
    after = fix_files({path: PROGRAM}, resolve_rules(["linen-module"]))[0]
    assert "class Net(nnx.Module)" in after[path]
    (tmp_path / "nnx_compat.py").write_text(after[tmp_path / "nnx_compat.py"])
    monkeypatch.syspath_prepend(tmp_path)
    space: dict[str, object] = {}
    try:
        exec(compile(after[path], path, "exec"), space)
    finally:
        sys.modules.pop("nnx_compat")  # other programs have others of that name
    rows, whole, params = space["run"](jnp.ones((3, 5)))  # type: ignore[operator]
    assert params["params"]["dense_1"]["kernel"].shape == (5, 4)
    np.testing.assert_allclose(rows, whole, rtol=1e-6)
