"""Linear layers of `flax.linen` that `flax.nnx` lacks, and adapters for functions with Linen's signatures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype

_conv_local_init = nnx.initializers.lecun_normal()


def linear_with_kernel(inputs: Any, kernel: Any, *, dtype: Any = None, precision: Any = None) -> jax.Array:
    """What a linear layer without bias computes with this kernel, such as one that it shares with an embedding."""
    inputs, kernel = promote_dtype((inputs, kernel), dtype=dtype)
    return jax.lax.dot_general(inputs, kernel, (((inputs.ndim - 1,), (0,)), ((), ())), precision=precision)


@dataclasses.dataclass(frozen=True)
class PlainDotGeneral:
    """A `dot_general` with Linen's signature, for NNX, which also passes `out_sharding`."""

    fn: Callable[..., jax.Array] | None

    def __call__(self, *args: Any, out_sharding: Any = None, **kwargs: Any) -> jax.Array:
        """Call the function (`jax.lax.dot_general` if it is None) without `out_sharding`."""
        return (self.fn or jax.lax.dot_general)(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class PlainConvGeneralDilated:
    """A `conv_general_dilated` with Linen's signature, for NNX, which also passes `out_sharding`."""

    fn: Callable[..., jax.Array] | None

    def __call__(self, *args: Any, out_sharding: Any = None, **kwargs: Any) -> jax.Array:
        """Call the function (`jax.lax.conv_general_dilated` if it is None) without `out_sharding`."""
        return (self.fn or jax.lax.conv_general_dilated)(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class TuplePromoteDtype:
    """A `promote_dtype(*arrays, dtype=...)` as Linen has it, for NNX, which passes one tuple of arrays."""

    fn: Callable[..., Any]

    def __call__(self, arrays: tuple[Any, ...], **kwargs: Any) -> Any:
        """Call the function with the arrays one by one."""
        return self.fn(*arrays, **kwargs)


class LinenEmbed(nnx.Embed):
    """Embedding whose dtype, if none is given, is inferred at every call, as in Linen.

    `nnx.Embed` takes the dtype of its table once and for all, which makes `attend` round the query to it.
    """

    def __init__(self, *args: Any, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, dtype=dtype, **kwargs)
        self.dtype = dtype


class ConvLocal(nnx.Module):
    """Convolution with weights of its own at each position.

    `input_shape` are the spatial dimensions of the inputs, which are (*batch, *spatial, in_features).
    Parameters are Linen's: kernel (*out_spatial, prod(kernel_size) * in_features, out_features), bias
    (*out_spatial, out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] | None = 1,
        *,
        input_shape: Sequence[int],
        padding: Any = "SAME",
        input_dilation: int | Sequence[int] | None = 1,
        kernel_dilation: int | Sequence[int] | None = 1,
        use_bias: bool = True,
        mask: jax.Array | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Any = _conv_local_init,
        bias_init: Any = nnx.initializers.zeros,
        promote_dtype: Any = promote_dtype,
        rngs: nnx.Rngs,
    ) -> None:
        self.kernel_size = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.strides = self._per_dimension(strides)
        self.input_dilation = self._per_dimension(input_dilation)
        self.kernel_dilation = self._per_dimension(kernel_dilation)
        self.padding = padding
        self.mask = nnx.data(mask)
        self.dtype = dtype
        self.precision = precision
        self.promote_dtype = promote_dtype
        inputs = jax.ShapeDtypeStruct((1, *input_shape, in_features), jnp.float32)
        window = jax.ShapeDtypeStruct((*self.kernel_size, in_features, out_features), jnp.float32)
        output = jax.eval_shape(self._shared_convolution, inputs, window)
        positions = output.shape[1:-1]
        kernel_shape = (*positions, math.prod(self.kernel_size) * in_features, out_features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), kernel_shape, param_dtype))
        self.bias = nnx.data(None)
        if use_bias:
            self.bias = nnx.Param(bias_init(rngs.params(), (*positions, out_features), param_dtype))

    def _per_dimension(self, value: int | Sequence[int] | None) -> tuple[int, ...]:
        if value is None or isinstance(value, int):
            return (value or 1,) * len(self.kernel_size)
        return tuple(value)

    def _padded(self, inputs: jax.Array) -> tuple[jax.Array, Any]:
        """The inputs with the padding that XLA does not know, and the padding that is left to do."""
        extents = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.kernel_dilation, strict=True)]
        if self.padding in ("CIRCULAR", "REFLECT"):
            mode = "wrap" if self.padding == "CIRCULAR" else "reflect"
            pads = [(0, 0), *(((k - 1) // 2, k // 2) for k in extents), (0, 0)]
            return jnp.pad(inputs, pads, mode=mode), "VALID"
        if self.padding == "CAUSAL":
            return jnp.pad(inputs, [(0, 0), (extents[0] - 1, 0), (0, 0)]), "VALID"
        if isinstance(self.padding, str):
            return inputs, self.padding
        sides = [self.padding] * len(self.kernel_size) if isinstance(self.padding, int) else self.padding
        return inputs, [(side, side) if isinstance(side, int) else side for side in sides]

    def _window(self) -> dict[str, Any]:
        rank = len(self.kernel_size) + 2
        outer = (0, rank - 1, *range(1, rank - 1))
        numbers = jax.lax.ConvDimensionNumbers(outer, (rank - 1, rank - 2, *range(rank - 2)), outer)
        return {
            "window_strides": self.strides,
            "lhs_dilation": self.input_dilation,
            "rhs_dilation": self.kernel_dilation,
            "dimension_numbers": numbers,
        }

    def _shared_convolution(self, inputs: jax.Array, window: jax.Array) -> jax.Array:
        """An ordinary convolution, which has the same output shape."""
        inputs, padding = self._padded(inputs)
        return jax.lax.conv_general_dilated(inputs, window, padding=padding, **self._window())

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolve `inputs` of shape (*batch, *spatial, in_features)."""
        batch = inputs.shape[: inputs.ndim - len(self.kernel_size) - 1]
        flat = inputs.reshape(-1, *inputs.shape[len(batch) :])
        kernel = self.kernel[...] if self.mask is None else self.kernel[...] * self.mask
        bias = None if self.bias is None else self.bias[...]
        flat, padding = self._padded(flat)
        flat, kernel, bias = self.promote_dtype((flat, kernel, bias), dtype=self.dtype)
        result = jax.lax.conv_general_dilated_local(
            flat,
            kernel,
            padding=padding,
            filter_shape=self.kernel_size,
            precision=self.precision,
            **self._window(),
        )
        if bias is not None:
            result += bias[None]
        return result.reshape(*batch, *result.shape[1:])
