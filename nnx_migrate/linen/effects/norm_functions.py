"""What Flax's norm layers are made of, for code that writes norms of its own with it."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Value
from nnx_migrate.linen.effects.arguments import array_of, int_of, ints_of
from nnx_migrate.linen.effects.reductions import reduced
from nnx_migrate.linen.effects.registry import models

_LINEN, _NNX = "flax.linen.normalization", "flax.nnx.nn.normalization"


@models(f"{_LINEN}._canonicalize_axes", f"{_NNX}._canonicalize_axes")
def canonicalize_axes(rank: Value, axes: Value) -> tuple[int, ...]:
    """Axes counted from the front, each once, in the order in which a set gives them."""
    number = int_of(rank, "the rank")
    return tuple({number + axis if axis < 0 else axis for axis in ints_of(axes, "axes")})


@models(f"{_LINEN}._compute_stats", f"{_NNX}._compute_stats")
def compute_stats(
    x: Value,
    axes: Value,
    dtype: Value,
    axis_name: Value = None,
    axis_index_groups: Value = None,
    use_mean: Value = True,
    use_fast_variance: Value = True,
    mask: Value = None,
    force_float32_reductions: Value = True,
) -> tuple[Array, Array]:
    """Mean and variance."""
    statistic = Array(reduced(array_of(x).shape, axes, False))
    return statistic, statistic


@models(f"{_NNX}._normalize")
def normalize(
    x: Value,
    mean: Value,
    var: Value,
    scale: Value,
    bias: Value,
    reduction_axes: Value,
    feature_axes: Value,
    dtype: Value,
    epsilon: Value,
) -> Array:
    """The input with other numbers."""
    return Array(array_of(x).shape)
