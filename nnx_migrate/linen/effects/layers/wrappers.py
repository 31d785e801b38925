"""Layers around other layers, and the einsum layer."""

from __future__ import annotations

from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import Array, Unmodelled, Value
from nnx_migrate.linen.effects.arguments import array_of, shape_of, str_of, unmodelled
from nnx_migrate.linen.effects.einsum import einsum_shape
from nnx_migrate.linen.effects.layers.base import (
    FLOAT32,
    Applied,
    Layer,
    guarded_output,
    layer_dtype,
    models_layer,
)


@models_layer("flax.linen.WeightNorm")
@dataclass(frozen=True)
class WeightNorm(Layer):
    """Normalizes the weights of `layer_instance`, a bound `Layer`."""

    layer_instance: Value
    epsilon: Value = 1e-12
    dtype: Value = None
    param_dtype: Value = FLOAT32
    use_scale: Value = True
    scale_init: Value = None
    feature_axes: Value = -1
    variable_filter: Value = None

    def call(self, *args: Value, **kwargs: Value) -> Applied:
        """What the inner layer returns. Sizes: those of the inner layer, as `layer_instance`."""
        return _inner(self.layer_instance, args, kwargs)


@models_layer("flax.linen.SpectralNorm")
@dataclass(frozen=True)
class SpectralNorm(Layer):
    """Divides the weights of `layer_instance`, a bound `Layer`, by their spectral norm."""

    layer_instance: Value
    n_steps: Value = 1
    epsilon: Value = 1e-12
    dtype: Value = None
    param_dtype: Value = FLOAT32
    error_on_non_matrix: Value = False
    collection_name: Value = "batch_stats"

    def call(self, *args: Value, update_stats: Value, **kwargs: Value) -> Applied:
        """What the inner layer returns. Sizes: those of the inner layer, as `layer_instance`."""
        return _inner(self.layer_instance, args, kwargs)


def _inner(layer: Value, args: tuple[Value, ...], kwargs: dict[str, Value]) -> Applied:
    if not isinstance(layer, Layer):
        raise unmodelled(layer, "the wrapped layer is not known")
    applied = layer.apply("__call__", *args, **kwargs)
    return Applied(applied.output, {"layer_instance": applied.sizes})


@models_layer("flax.linen.Einsum")
@dataclass(frozen=True)
class Einsum(Layer):
    """An einsum with a kernel of the given shape."""

    shape: Value
    einsum_str: Value = None
    use_bias: Value = True
    dtype: Value = None
    param_dtype: Value = FLOAT32
    precision: Value = None
    kernel_init: Value = None
    bias_init: Value = None
    promote_dtype: Value = None
    preferred_element_type: Value = None

    def call(self, inputs: Value, einsum_str: Value = None) -> Applied:
        """Sizes: none; the kernel's shape is given."""
        chosen = [text for text in (self.einsum_str, einsum_str) if text is not None]
        if len(chosen) != 1:
            raise Unmodelled("an einsum string that is given twice or not at all")
        text = str_of(chosen[0], "einsum_str")
        plain = self.dtype is None and self.preferred_element_type is None
        dtype = layer_dtype(None, self.param_dtype, inputs) if plain else None
        return Applied(
            guarded_output(
                lambda: Array(einsum_shape(text, [array_of(inputs).shape, shape_of(self.shape)]), dtype)
            )
        )
