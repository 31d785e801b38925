"""Dense layers and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnx_migrate.linen.arrays.shapes import Array, Shape, Value
from nnx_migrate.linen.effects.arguments import array_of, axes_of, dim_of, dims_of, dtype_of, ints_of
from nnx_migrate.linen.effects.layers.base import (
    FLOAT32,
    Applied,
    Layer,
    guarded_output,
    last_dim,
    layer_dtype,
    models_layer,
)


def with_last_dim(value: Value, features: Value, dtype: str | None) -> Array:
    """The input with its last axis replaced; of an input of unknown shape at least the last axis is known."""
    size = dim_of(features, "features")
    if not isinstance(value, Array):
        return Array(Shape((size,), ""), dtype)
    return Array(value.shape.before(1).then(size), dtype)


@models_layer("flax.linen.Dense")
@dataclass(frozen=True)
class Dense(Layer):
    """A linear map of the last axis."""

    features: Value
    use_bias: Value = True
    dtype: Value = None
    param_dtype: Value = FLOAT32
    precision: Value = None
    kernel_init: Value = None
    bias_init: Value = None
    promote_dtype: Value = None
    dot_general: Value = None
    dot_general_cls: Value = None

    def call(self, inputs: Value) -> Applied:
        """Sizes: in_features."""
        dtype = layer_dtype(self.dtype, self.param_dtype, inputs)
        output = guarded_output(lambda: with_last_dim(inputs, self.features, dtype))
        return Applied(output, {"in_features": last_dim(inputs)})


@models_layer("flax.linen.DenseGeneral")
@dataclass(frozen=True)
class DenseGeneral(Layer):
    """A linear map of any axes to any number of new last axes."""

    features: Value
    axis: Value = -1
    batch_dims: Value = ()
    use_bias: Value = True
    dtype: Value = None
    param_dtype: Value = FLOAT32
    kernel_init: Value = None
    bias_init: Value = None
    precision: Value = None
    promote_dtype: Value = None
    dot_general: Value = None
    dot_general_cls: Value = None

    def call(self, inputs: Value) -> Applied:
        """Sizes: in_features (a tuple if `axis` is one), batch_axis (a tuple of sizes) with `batch_dims`."""
        array = array_of(inputs)
        axes = sorted(axes_of(self.axis, array.shape))
        given = [array.shape.axis(axis) for axis in ints_of(self.axis, "axis")]
        sizes: dict[str, Value] = {}
        needed = tuple(array.shape.dim(axis) for axis in given)
        sizes["in_features"] = needed if isinstance(self.axis, tuple | list) else needed[0]
        features = dims_of(self.features, "features")
        batch_axes = ints_of(self.batch_dims, "batch_dims")
        dtype = layer_dtype(self.dtype, self.param_dtype, inputs)
        if not batch_axes:
            return Applied(Array(array.shape.without(axes).then(*features), dtype), sizes)
        dims = array.shape.items()
        batch = [array.shape.axis(axis) + len(dims) for axis in batch_axes]
        sizes["batch_sizes"] = tuple(dims[axis] for axis in batch)
        rest = [dims[i] for i in range(len(dims)) if i not in batch and i - len(dims) not in axes]
        return Applied(Array(Shape((*(dims[i] for i in batch), *rest, *features)), dtype), sizes)


@models_layer("flax.linen.Embed")
@dataclass(frozen=True)
class Embed(Layer):
    """A table of vectors."""

    methods: ClassVar = {"__call__": "call", "attend": "attend"}

    num_embeddings: Value
    features: Value
    dtype: Value = None
    param_dtype: Value = FLOAT32
    embedding_init: Value = None
    promote_dtype: Value = None

    def call(self, inputs: Value) -> Applied:
        """No size is needed."""
        size = dim_of(self.features, "features")
        dtype = dtype_of(self.dtype, dtype_of(self.param_dtype))
        shape = inputs.shape if isinstance(inputs, Array) else Shape((), "")
        return Applied(Array(shape.then(size), dtype))

    def attend(self, query: Value) -> Applied:
        """The products with all vectors."""
        dtype = layer_dtype(self.dtype, self.param_dtype, query)
        return Applied(with_last_dim(query, self.num_embeddings, dtype))
