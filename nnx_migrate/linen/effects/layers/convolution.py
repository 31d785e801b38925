"""Convolution layers: any number of batch axes, then the spatial ones, then the channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from nnx_migrate.linen.arrays.shapes import Array, PerAxis, Shape, Unknown, Unmodelled, Value
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import array_of, dim_of, dims_of, unmodelled
from nnx_migrate.linen.effects.layers.base import (
    FLOAT32,
    Applied,
    Layer,
    last_dim,
    layer_dtype,
    models_layer,
)
from nnx_migrate.linen.effects.windows import Pads, dilated, per_axis, transposed_windows, windowed

_Convolution = TypeVar("_Convolution", "Conv", "ConvTranspose")
_AXES = ("kernel_size", "strides", "input_dilation", "kernel_dilation")


def layer_padding(padding: Value, count: int) -> Pads:
    """Linen's padding: a string, one int, or one int or pair per axis."""
    if isinstance(padding, str):
        return padding
    if isinstance(padding, int | Dim):
        side = dim_of(padding)
        return ((side, side),) * count
    if not isinstance(padding, tuple | list) or len(padding) != count:
        raise unmodelled(padding, "padding is not known")
    pairs = []
    for item in padding:
        sides = dims_of(item, "padding")
        if isinstance(item, int | Dim):
            pairs.append((sides[0], sides[0]))
        elif len(sides) == 2:
            pairs.append((sides[0], sides[1]))
        else:
            raise Unmodelled(f"padding {padding!r}")
    return tuple(pairs)


def _kernel(kernel_size: Value) -> tuple[Dim, ...]:
    return dims_of(kernel_size, "kernel_size")


def _with_axes(layer: _Convolution, inputs: Value) -> _Convolution:
    """The layer with a number for each axis that the kernel has on an array of known rank.

    One axis is that of the batch: a kernel of another length would leave code that names the axes (`n, h, w, c`)
    without sense, and its items, which the constructor reads, would be too few or not those of the axes.
    """
    kernel, rank = layer.kernel_size, inputs.shape.rank if isinstance(inputs, Array) else None
    if not isinstance(kernel, PerAxis) or rank is None or rank < 3:
        return layer
    given = {name: getattr(layer, name) for name in _AXES if hasattr(layer, name)}
    known = {
        name: value.items(rank - 2)
        for name, value in given.items()
        if isinstance(value, PerAxis) and (value.listed or value.text == kernel.text)
    }
    return replace(layer, **known)


def _convolved(
    inputs: Value, kernel_size: Value, sizes: Callable[[], Sequence[Dim]], features: Value, dtype: str | None
) -> Value:
    """The output; where its spatial sizes can't be told, at least its channels, and its rank (the input's)."""
    try:
        size = dim_of(features, "features")
        if isinstance(kernel_size, Unknown):
            rank = inputs.shape.rank if isinstance(inputs, Array) else None
            if rank is not None and rank < 2:
                raise Unmodelled("a convolution of an array without spatial axes")
            others = (Dim.unknown(kernel_size.reason),) * ((rank or 1) - 1)
            return Array(Shape((*others, size), None if rank else ""), dtype)
        count = len(_kernel(kernel_size))
        shape = inputs.shape.before(count + 1) if isinstance(inputs, Array) else Shape((), "")
    except Unmodelled as unmodelled_:
        return Unknown(str(unmodelled_))
    try:
        return Array(shape.then(*sizes(), size), dtype)
    except Unmodelled as unmodelled_:
        reason = str(unmodelled_)
        return Array(shape.then(*(Dim.unknown(reason) for _ in range(count)), size), dtype)


@models_layer("flax.linen.Conv", "flax.linen.ConvLocal")
@dataclass(frozen=True)
class Conv(Layer):
    """Convolution with shared (Conv) or unshared (ConvLocal) kernels."""

    features: Value
    kernel_size: Value
    strides: Value = 1
    padding: Value = "SAME"
    input_dilation: Value = 1
    kernel_dilation: Value = 1
    feature_group_count: Value = 1
    use_bias: Value = True
    mask: Value = None
    dtype: Value = None
    param_dtype: Value = FLOAT32
    precision: Value = None
    kernel_init: Value = None
    bias_init: Value = None
    promote_dtype: Value = None
    conv_general_dilated: Value = None
    conv_general_dilated_cls: Value = None

    def call(self, inputs: Value) -> Applied:
        """Sizes: in_features."""
        return Applied(self._output(inputs), {"in_features": last_dim(inputs)})

    def _output(self, inputs: Value) -> Value:
        dtype = layer_dtype(self.dtype, self.param_dtype, inputs)
        if self.conv_general_dilated is not None or self.conv_general_dilated_cls is not None:
            return Unknown("a convolution with its own operation")
        told = _with_axes(self, inputs)
        return _convolved(inputs, told.kernel_size, lambda: told._sizes(inputs), self.features, dtype)

    def _sizes(self, inputs: Value) -> tuple[Dim, ...]:
        kernel = _kernel(self.kernel_size)
        count = len(kernel)
        spatial = array_of(inputs).shape.last(count + 1)[:count]
        strides = per_axis(self.strides, count, "strides")
        base = per_axis(self.input_dilation, count, "input_dilation")
        gaps = per_axis(self.kernel_dilation, count, "kernel_dilation")
        padding = layer_padding(self.padding, count)
        if padding in ("CIRCULAR", "REFLECT"):
            # Padded by hand to keep the size, then VALID.
            reach = [dilated(k, gap) - 1 for k, gap in zip(kernel, gaps, strict=True)]
            spatial = tuple(size + more for size, more in zip(spatial, reach, strict=True))
            padding = "VALID"
        elif padding == "CAUSAL":
            if count != 1:
                raise Unmodelled("CAUSAL padding in more than one dimension")
            spatial = (spatial[0] + gaps[0] * (kernel[0] - 1),)
            padding = "VALID"
        return windowed(spatial, kernel, strides, padding, base, gaps)


@models_layer("flax.linen.ConvTranspose")
@dataclass(frozen=True)
class ConvTranspose(Layer):
    """Transposed convolution."""

    features: Value
    kernel_size: Value
    strides: Value = None
    padding: Value = "SAME"
    kernel_dilation: Value = None
    use_bias: Value = True
    mask: Value = None
    dtype: Value = None
    param_dtype: Value = FLOAT32
    precision: Value = None
    kernel_init: Value = None
    bias_init: Value = None
    transpose_kernel: Value = False
    promote_dtype: Value = None
    preferred_element_type: Value = None

    def call(self, inputs: Value) -> Applied:
        """Sizes: in_features."""
        return Applied(self._output(inputs), {"in_features": last_dim(inputs)})

    def _output(self, inputs: Value) -> Value:
        dtype = (
            layer_dtype(self.dtype, self.param_dtype, inputs) if self.preferred_element_type is None else None
        )
        told = _with_axes(self, inputs)
        return _convolved(inputs, told.kernel_size, lambda: told._sizes(inputs), self.features, dtype)

    def _sizes(self, inputs: Value) -> tuple[Dim, ...]:
        kernel = _kernel(self.kernel_size)
        count = len(kernel)
        spatial = array_of(inputs).shape.last(count + 1)[:count]
        strides = per_axis(self.strides, count, "strides")
        gaps = per_axis(self.kernel_dilation, count, "kernel_dilation")
        padding = layer_padding(self.padding, count)
        if padding == "CIRCULAR":
            # The output is wrapped to one period of the input, scaled by the stride.
            return tuple(size * stride for size, stride in zip(spatial, strides, strict=True))
        return transposed_windows(spatial, kernel, strides, padding, gaps)
