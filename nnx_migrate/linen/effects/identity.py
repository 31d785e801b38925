"""Functions that return their first argument as far as shapes go: gradients, devices, sharding."""

from __future__ import annotations

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone
from nnx_migrate.linen.arrays.shapes import Array, Shape, Value
from nnx_migrate.linen.effects.arguments import array_from
from nnx_migrate.linen.effects.registry import models


@models("jax.lax.stop_gradient")
def stop_gradient(x: Value) -> Value:
    """No gradient."""
    return x


@models("jax.lax.optimization_barrier")
def optimization_barrier(operand: Value, /) -> Value:
    """No reordering by the compiler."""
    return operand


@models("jax.lax.psum", "jax.lax.pmean", "jax.lax.pmax", "jax.lax.pmin")
def psum(x: Value, axis_name: Value, *, axis_index_groups: Value = None) -> Value:
    """A reduction over devices."""
    return x


@models("jax.lax.axis_index")
def axis_index(axis_name: Value) -> Array:
    """The position along a mapped axis."""
    return Array(Shape(), "int")


@models("jax.lax.with_sharding_constraint")
def with_sharding_constraint(x: Value, shardings: Value) -> Value:
    """A hint where data lives."""
    return x


@models("flax.linen.partitioning.with_sharding_constraint")
def linen_sharding_constraint(
    x: Value, logical_axis_resources: Value, rules: Value = None, mesh: Value = None, fallback: Value = None
) -> Value:
    """A hint where data lives."""
    return x


@models("flax.linen.with_logical_constraint")
def with_logical_constraint(
    x: Value,
    logical_axis_resources: Value,
    rules: Value = None,
    mesh: Value = None,
    fallback: Value = None,
) -> Value:
    """A hint where data lives."""
    return x


@models("jax.ad_checkpoint.checkpoint_name")
def checkpoint_name(x: Value, name: Value) -> Value:
    """A name for what remat saves."""
    return x


@models("flax.linen.dtypes.promote_dtype")
def promote_dtype(*args: Value, dtype: Value = None, inexact: Value = True) -> list[Value]:
    """All arguments that are not None as arrays of a common dtype."""
    return [_promoted(value) for value in args]


def _promoted(value: Value) -> Value:
    if isinstance(value, ArrayOrNone):
        return ArrayOrNone(value.reason, Array(value.array.shape))
    return None if value is None else Array(array_from(value).shape)


@models(
    "jax.ops.index_update", "jax.ops.index_add", "jax.ops.index_min", "jax.ops.index_max", "jax.ops.index_mul"
)
def index_update(x: Value, idx: Value, y: Value, *_options: Value) -> Value:
    """The array with a part replaced (older releases)."""
    return x


@models("jax.device_get")
def device_get(x: Value) -> Value:
    """The same data elsewhere."""
    return x


@models("jax.device_put")
def device_put(
    x: Value, device: Value = None, *, src: Value = None, donate: Value = False, may_alias: Value = None
) -> Value:
    """The same data elsewhere."""
    return x
