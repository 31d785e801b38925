"""The two sides of a class fixture, built from the texts in its `case.toml`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nnx_migrate.numerics.inputs import Inputs
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.nnx_side import NNXSide
from tests.linen_module.fixture import Case


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def integers(high: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(0, high, size=shape), jnp.int32)


def value(text: str, **names: Any) -> Any:
    """An expression of `case.toml`."""
    known = {"jnp": jnp, "jax": jax, "np": np, "normal": normal, "integers": integers}
    return eval(text, {**known, **names})


def inputs(case: Case) -> Inputs:
    """What the model is called with."""
    return Inputs(
        tuple(value(text) for text in case.args),
        {name: value(text) for name, text in case.eval.items()},
        None if case.train is None else {name: value(text) for name, text in case.train.items()},
        case.method,
    )


def linen_side(case: Case, module: ModuleType) -> LinenSide:
    """The model of `before.py`."""
    return LinenSide(value(case.model, **vars(module)), inputs(case))


def nnx_side(case: Case, module: ModuleType) -> NNXSide:
    """The model of `after.py`."""

    def build(rngs: nnx.Rngs) -> nnx.Module:
        return value(case.nnx_model, rngs=rngs, **vars(module))

    return NNXSide(build, inputs(case))
