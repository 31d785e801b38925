"""Normalization and dropout: the shape is kept; the norms need the sizes of their feature axes."""

from __future__ import annotations

from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import Array, Unknown, Value
from nnx_migrate.linen.effects.arguments import array_of, axes_of, dtype_of, kind
from nnx_migrate.linen.effects.initial_dtypes import is_initial
from nnx_migrate.linen.effects.layers.base import (
    FLOAT32,
    Applied,
    Layer,
    guarded_output,
    last_dim,
    layer_dtype,
    models_layer,
)


def _same_shape(x: Value, dtype: Value = None, affine: Value = None) -> Value:
    """The input, in the layer's dtype or some float; `affine` is the dtype of its parameters, None without."""
    if not isinstance(x, Array):
        return x if isinstance(x, Unknown) else guarded_output(lambda: array_of(x))
    if dtype is None and affine is not None and is_initial(x.dtype):
        return Array(x.shape, layer_dtype(None, affine, x))
    inherits = x.dtype is not None and kind(x.dtype) in ("float", "int", "bool")
    return Array(x.shape, dtype_of(dtype, "float" if inherits else None))


def _affine(param_dtype: Value, *uses: Value) -> Value:
    """The dtype of a layer's parameters, None where it may have none."""
    return param_dtype if True in uses else None


def _features(x: Value, axis: Value) -> Value:
    """The size of the feature axis, or a tuple for several, in the order of the array's axes."""
    if not isinstance(x, Array):
        return last_dim(x)
    if isinstance(axis, int) and axis == -1:
        return x.shape.dim(-1)
    axes = sorted(axes_of(axis, x.shape))
    sizes = tuple(x.shape.dim(index) for index in axes)
    return sizes[0] if len(sizes) == 1 else sizes


@models_layer("flax.linen.BatchNorm")
@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalization; `axis` is the feature axis."""

    use_running_average: Value = None
    axis: Value = -1
    momentum: Value = 0.99
    epsilon: Value = 1e-05
    dtype: Value = None
    param_dtype: Value = FLOAT32
    use_bias: Value = True
    use_scale: Value = True
    bias_init: Value = None
    scale_init: Value = None
    axis_name: Value = None
    axis_index_groups: Value = None
    use_fast_variance: Value = True
    force_float32_reductions: Value = True

    def call(self, x: Value, use_running_average: Value = None, *, mask: Value = None) -> Applied:
        """Sizes: num_features."""
        features = guarded_output(lambda: _features(x, self.axis))
        return Applied(
            _same_shape(x, self.dtype, _affine(self.param_dtype, self.use_scale, self.use_bias)),
            {"num_features": features},
        )


@models_layer("flax.linen.LayerNorm")
@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalization."""

    epsilon: Value = 1e-06
    dtype: Value = None
    param_dtype: Value = FLOAT32
    use_bias: Value = True
    use_scale: Value = True
    bias_init: Value = None
    scale_init: Value = None
    reduction_axes: Value = -1
    feature_axes: Value = -1
    axis_name: Value = None
    axis_index_groups: Value = None
    use_fast_variance: Value = True
    force_float32_reductions: Value = True

    def call(self, x: Value, *, mask: Value = None) -> Applied:
        """Sizes: num_features."""
        features = guarded_output(lambda: _features(x, self.feature_axes))
        return Applied(
            _same_shape(x, self.dtype, _affine(self.param_dtype, self.use_scale, self.use_bias)),
            {"num_features": features},
        )


@models_layer("flax.linen.RMSNorm")
@dataclass(frozen=True)
class RMSNorm(Layer):
    """Root mean square normalization."""

    epsilon: Value = 1e-06
    dtype: Value = None
    param_dtype: Value = FLOAT32
    use_scale: Value = True
    scale_init: Value = None
    reduction_axes: Value = -1
    feature_axes: Value = -1
    axis_name: Value = None
    axis_index_groups: Value = None
    use_fast_variance: Value = True
    force_float32_reductions: Value = True

    def call(self, x: Value, *, mask: Value = None) -> Applied:
        """Sizes: num_features."""
        features = guarded_output(lambda: _features(x, self.feature_axes))
        return Applied(
            _same_shape(x, self.dtype, _affine(self.param_dtype, self.use_scale)), {"num_features": features}
        )


@models_layer("flax.linen.GroupNorm")
@dataclass(frozen=True)
class GroupNorm(Layer):
    """Group normalization, always over the last axis."""

    num_groups: Value = 32
    group_size: Value = None
    epsilon: Value = 1e-06
    dtype: Value = None
    param_dtype: Value = FLOAT32
    use_bias: Value = True
    use_scale: Value = True
    bias_init: Value = None
    scale_init: Value = None
    reduction_axes: Value = None
    axis_name: Value = None
    axis_index_groups: Value = None
    use_fast_variance: Value = True
    force_float32_reductions: Value = True

    def call(self, x: Value, *, mask: Value = None) -> Applied:
        """Sizes: num_features."""
        return Applied(
            _same_shape(x, self.dtype, _affine(self.param_dtype, self.use_scale, self.use_bias)),
            {"num_features": last_dim(x)},
        )


@models_layer("flax.linen.InstanceNorm")
@dataclass(frozen=True)
class InstanceNorm(Layer):
    """Instance normalization."""

    epsilon: Value = 1e-06
    dtype: Value = None
    param_dtype: Value = FLOAT32
    use_bias: Value = True
    use_scale: Value = True
    bias_init: Value = None
    scale_init: Value = None
    feature_axes: Value = -1
    axis_name: Value = None
    axis_index_groups: Value = None
    use_fast_variance: Value = True
    force_float32_reductions: Value = True

    def call(self, x: Value, *, mask: Value = None) -> Applied:
        """Sizes: num_features."""
        features = guarded_output(lambda: _features(x, self.feature_axes))
        return Applied(
            _same_shape(x, self.dtype, _affine(self.param_dtype, self.use_scale, self.use_bias)),
            {"num_features": features},
        )


@models_layer("flax.linen.Dropout")
@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout; needs no size."""

    rate: Value
    broadcast_dims: Value = ()
    deterministic: Value = None
    rng_collection: Value = "dropout"

    def call(self, inputs: Value, deterministic: Value = None, rng: Value = None) -> Applied:
        """The input's shape and dtype."""
        return Applied(inputs)


@models_layer("flax.linen.PReLU")
@dataclass(frozen=True)
class PReLU(Layer):
    """Parametric ReLU; needs no size."""

    param_dtype: Value = FLOAT32
    negative_slope_init: Value = 0.01

    def call(self, inputs: Value) -> Applied:
        """The input's shape."""
        return Applied(_same_shape(inputs))
