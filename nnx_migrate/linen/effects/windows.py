"""Sliding windows: convolutions and pooling, with every kind of padding."""

from __future__ import annotations

from collections.abc import Sequence

from nnx_migrate.linen.arrays.shapes import NO_RANK, Array, PerAxis, Shape, Unmodelled, Value
from nnx_migrate.linen.dims import Dim, ceil_div, maximum
from nnx_migrate.linen.effects.arguments import (
    array_of,
    dims_of,
    dtype_of,
    int_of,
    promote,
    str_of,
    unmodelled,
)
from nnx_migrate.linen.effects.registry import models

Pads = str | tuple[tuple[Dim, Dim], ...]
One = Sequence[int | Dim]


# ---- sizes -------------------------------------------------------------------------------------------------


def dilated(size: Dim, dilation: int | Dim) -> Dim:
    """The length of `size` elements with gaps between them."""
    if dilation == 1 or size == 0:
        return size
    return (size - 1) * dilation + 1


def window_count(size: Dim, window: Dim, stride: int | Dim) -> Dim:
    """How many windows fit; 0 where a constant size is too small."""
    count = (size - window) // stride + 1
    return Dim.of(max(count.const, 0)) if count.const is not None else count


def windowed(
    sizes: Sequence[Dim],
    windows: Sequence[Dim],
    strides: One,
    padding: Pads,
    base_dilation: One | None = None,
    window_dilation: One | None = None,
) -> tuple[Dim, ...]:
    """Sizes after a window has slid along every axis (`lax.conv_general_dilated`, `lax.reduce_window`)."""
    base = base_dilation or [1] * len(sizes)
    gaps = window_dilation or [1] * len(sizes)
    pads = padding if not isinstance(padding, str) else [None] * len(sizes)
    if not len(sizes) == len(windows) == len(strides) == len(base) == len(gaps) == len(pads):
        raise Unmodelled("window parameters of different lengths")
    mode = padding.upper() if isinstance(padding, str) else ""
    if isinstance(padding, str) and mode not in ("SAME", "SAME_LOWER", "VALID"):
        raise Unmodelled(f"padding {padding!r}")
    results = []
    for size, window, stride, lhs, gap, pad in zip(sizes, windows, strides, base, gaps, pads, strict=True):
        length = dilated(window, gap)
        if mode.startswith("SAME"):
            results.append(_same(size, length, Dim.of(stride), lhs))
            continue
        low, high = pad or (0, 0)
        results.append(window_count(dilated(size, lhs) + low + high, length, stride))
    return tuple(results)


def _same(size: Dim, length: Dim, stride: Dim, base_dilation: int | Dim) -> Dim:
    """SAME padding is computed from the undilated input, so its effect is only simple without dilation."""
    if base_dilation == 1 and size != 0:
        return ceil_div(size, stride)
    pad = maximum((ceil_div(size, stride) - 1) * stride + length - size, 0)
    return window_count(dilated(size, base_dilation) + pad, length, stride)


def transposed_windows(
    sizes: Sequence[Dim],
    windows: Sequence[Dim],
    strides: One,
    padding: Pads,
    window_dilation: One | None = None,
    consistent: bool = False,
) -> tuple[Dim, ...]:
    """Sizes after `lax.conv_transpose`."""
    gaps = window_dilation or [1] * len(sizes)
    if not len(sizes) == len(windows) == len(strides) == len(gaps):
        raise Unmodelled("window parameters of different lengths")
    if padding not in ("SAME", "VALID") and not (consistent and not isinstance(padding, str)):
        return windowed(sizes, windows, [1] * len(sizes), padding, strides, gaps)
    pads = []
    for index, (window, gap, stride) in enumerate(zip(windows, gaps, strides, strict=True)):
        length = dilated(window, gap)
        total = length + stride - 2
        if padding == "VALID":
            total = total + maximum(length - stride, 0)
        elif not isinstance(padding, str):
            total = 2 * (length - 1) - padding[index][0] - padding[index][1]
        pads.append((Dim.of(0), total))
    return windowed(sizes, windows, [1] * len(sizes), tuple(pads), strides, gaps)


def per_axis(value: Value, count: int, what: str) -> tuple[Dim, ...]:
    """A parameter given once for all axes, once for each, or as None for 1."""
    if value is None:
        return (Dim.of(1),) * count
    if isinstance(value, PerAxis) and value.listed:
        return value.items(count)
    dims = dims_of(value, what)
    if not isinstance(value, tuple | list | Shape):
        return dims * count
    if len(dims) != count:
        raise Unmodelled(f"{len(dims)} {what} for {count} axes")
    return dims


def pads_of(padding: Value, count: int) -> Pads:
    """A padding argument of `lax` and of pooling: a string or pairs."""
    if isinstance(padding, str):
        return padding
    if not isinstance(padding, tuple | list):
        raise unmodelled(padding, "padding is not known")
    pairs = tuple(dims_of(pair, "padding") for pair in padding)
    if len(pairs) != count or any(len(pair) != 2 for pair in pairs):
        raise Unmodelled(f"padding {padding!r} for {count} axes")
    return tuple((pair[0], pair[1]) for pair in pairs)


# ---- pooling of flax.linen ---------------------------------------------------------------------------------


def _pooled(inputs: Value, window_shape: Value, strides: Value, padding: Value) -> Array:
    array = array_of(inputs)
    if isinstance(window_shape, int | Dim) or isinstance(strides, int | Dim):
        raise Unmodelled("pooling takes tuples")
    windows = dims_of(window_shape, "window_shape")
    count = len(windows)
    steps = per_axis(strides or None, count, "strides")
    spatial = array.shape.last(count + 1)[:count]
    sizes = windowed(spatial, windows, steps, pads_of(padding, count))
    result = array.shape.before(count + 1).then(*sizes, array.shape.dim(-1))
    return Array(result)


@models("flax.linen.max_pool", "flax.linen.pooling.min_pool")
def max_pool(inputs: Value, window_shape: Value, strides: Value = None, padding: Value = "VALID") -> Array:
    """Extremum in a window."""
    return _pooled(inputs, window_shape, strides, padding)


@models("flax.linen.avg_pool")
def avg_pool(
    inputs: Value,
    window_shape: Value,
    strides: Value = None,
    padding: Value = "VALID",
    count_include_pad: Value = True,
) -> Array:
    """Mean of a window."""
    return _pooled(inputs, window_shape, strides, padding)


@models("flax.linen.pool", "flax.linen.pooling.pool")
def pool(
    inputs: Value, init: Value, reduce_fn: Value, window_shape: Value, strides: Value, padding: Value
) -> Array:
    """Any reduction of a window."""
    return _pooled(inputs, window_shape, strides, padding)


# ---- jax.lax -----------------------------------------------------------------------------------------------


@models("jax.lax.reduce_window")
def reduce_window(
    operand: Value,
    init_value: Value,
    computation: Value,
    window_dimensions: Value,
    window_strides: Value = None,
    padding: Value = "VALID",
    base_dilation: Value = None,
    window_dilation: Value = None,
) -> Array:
    """Any reduction of a window over all axes."""
    array = array_of(operand)
    dims = array.shape.items()
    count = len(dims)
    sizes = windowed(
        dims,
        dims_of(window_dimensions, "window_dimensions"),
        per_axis(window_strides, count, "strides"),
        pads_of(padding, count),
        per_axis(base_dilation, count, "dilations"),
        per_axis(window_dilation, count, "dilations"),
    )
    return Array(Shape(sizes))


def _specs(numbers: Value, rank: int) -> tuple[list[int], list[int], list[int]]:
    """Permutations that bring lhs, rhs and output to (batch, features, spatial...) order."""
    if rank < 2:
        raise Unmodelled("a convolution without batch or channels")
    if numbers is None:
        order = list(range(rank))
        return order, order, order
    if not isinstance(numbers, tuple | list) or len(numbers) != 3:
        raise unmodelled(numbers, "dimension_numbers are not known")
    layouts = [str_of(part, "dimension_numbers") for part in numbers]
    if any(len(layout) != rank for layout in layouts):
        raise Unmodelled("dimension_numbers do not fit the rank")
    spatial = [letter for letter in layouts[1] if letter not in "OI"]
    orders = []
    for layout, first in zip(layouts, ("NC", "OI", "NC"), strict=True):
        letters = [*first, *spatial]
        if sorted(letters) != sorted(layout):
            raise Unmodelled(f"dimension_numbers {layout!r}")
        orders.append([layout.index(letter) for letter in letters])
    return orders[0], orders[1], orders[2]


def _convolved(lhs: Array, rhs: Array, numbers: Value, sizes: Sequence[Dim], groups: int) -> Array:
    """The output: batch of the left, output features of the right, these spatial sizes."""
    left, right, out = _specs(numbers, len(lhs.shape.items()))
    batch, features = lhs.shape.dims[left[0]], rhs.shape.dims[right[0]]
    dims = [Dim.of(0)] * len(out)
    for place, dim in zip(out, (batch // groups, features, *sizes), strict=True):
        dims[place] = dim
    return Array(Shape(tuple(dims)), promote(lhs, rhs))


def _spatial(array: Array, order: Sequence[int]) -> list[Dim]:
    return [array.shape.items()[place] for place in order[2:]]


@models("jax.lax.conv_dimension_numbers")
def conv_dimension_numbers(lhs_shape: Value, rhs_shape: Value, dimension_numbers: Value) -> Value:
    """Layouts as JAX's convolutions keep them: they take what is given here just as well."""
    return dimension_numbers


@models("flax.linen.linear._conv_dimension_numbers")
def linen_dimension_numbers(input_shape: Value) -> Value:
    """The layouts of Linen's convolutions, features last, for inputs of a rank. Code copies calls of it."""
    rank = input_shape.rank if isinstance(input_shape, Shape) else None
    if isinstance(input_shape, tuple | list):
        rank = len(input_shape)
    if rank is None or not 2 <= rank <= 5:
        raise Unmodelled(NO_RANK)
    spatial = "DHW"[5 - rank :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


@models("jax.lax.conv_general_dilated")
def conv_general_dilated(
    lhs: Value,
    rhs: Value,
    window_strides: Value,
    padding: Value,
    lhs_dilation: Value = None,
    rhs_dilation: Value = None,
    dimension_numbers: Value = None,
    feature_group_count: Value = 1,
    batch_group_count: Value = 1,
    precision: Value = None,
    preferred_element_type: Value = None,
    out_sharding: Value = None,
) -> Array:
    """The general convolution."""
    left, right = array_of(lhs), array_of(rhs)
    orders = _specs(dimension_numbers, len(left.shape.items()))
    count = len(orders[0]) - 2
    if len(right.shape.items()) != count + 2:
        raise Unmodelled("convolution of arrays of different rank")
    sizes = windowed(
        _spatial(left, orders[0]),
        _spatial(right, orders[1]),
        per_axis(window_strides, count, "strides"),
        pads_of(padding, count),
        per_axis(lhs_dilation, count, "dilations"),
        per_axis(rhs_dilation, count, "dilations"),
    )
    groups = int_of(batch_group_count, "batch_group_count")
    result = _convolved(left, right, dimension_numbers, sizes, groups)
    return Array(result.shape, dtype_of(preferred_element_type, result.dtype))


@models("jax.lax.conv")
def conv(
    lhs: Value,
    rhs: Value,
    window_strides: Value,
    padding: Value,
    precision: Value = None,
    preferred_element_type: Value = None,
) -> Array:
    """Convolution in NCHW layout."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, preferred_element_type=preferred_element_type
    )


@models("jax.lax.conv_with_general_padding")
def conv_with_general_padding(
    lhs: Value,
    rhs: Value,
    window_strides: Value,
    padding: Value,
    lhs_dilation: Value,
    rhs_dilation: Value,
    precision: Value = None,
    preferred_element_type: Value = None,
) -> Array:
    """Convolution in NCHW layout with dilations."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        preferred_element_type=preferred_element_type,
    )


_TRANSPOSE_LAYOUTS = {2: ("NC", "IO", "NC"), 3: ("NHC", "HIO", "NHC"), 4: ("NHWC", "HWIO", "NHWC")}
_TRANSPOSE_LAYOUTS[5] = ("NHWDC", "HWDIO", "NHWDC")


@models("jax.lax.conv_transpose")
def conv_transpose(
    lhs: Value,
    rhs: Value,
    strides: Value,
    padding: Value,
    rhs_dilation: Value = None,
    dimension_numbers: Value = None,
    transpose_kernel: Value = False,
    precision: Value = None,
    preferred_element_type: Value = None,
    use_consistent_padding: Value = False,
) -> Array:
    """The transposed convolution, channels last by default."""
    left, right = array_of(lhs), array_of(rhs)
    rank = len(left.shape.items())
    if len(right.shape.items()) != rank:
        raise Unmodelled("convolution of arrays of different rank")
    layouts = dimension_numbers if dimension_numbers is not None else _TRANSPOSE_LAYOUTS.get(rank)
    orders = _specs(layouts, rank)
    count = rank - 2
    sizes = transposed_windows(
        _spatial(left, orders[0]),
        _spatial(right, orders[1]),
        per_axis(strides, count, "strides"),
        pads_of(padding, count),
        per_axis(rhs_dilation, count, "dilations"),
        use_consistent_padding is True,
    )
    if transpose_kernel is not False:
        if transpose_kernel is not True:
            raise unmodelled(transpose_kernel, "transpose_kernel is not known")
        kernel = list(right.shape.dims)
        outs, ins = orders[1][0], orders[1][1]
        kernel[outs], kernel[ins] = kernel[ins], kernel[outs]
        right = Array(Shape(tuple(kernel)), right.dtype)
    return _convolved(left, right, layouts, sizes, 1)


@models("jax.lax.conv_general_dilated_patches")
def conv_general_dilated_patches(
    lhs: Value,
    filter_shape: Value,
    window_strides: Value,
    padding: Value,
    lhs_dilation: Value = None,
    rhs_dilation: Value = None,
    dimension_numbers: Value = None,
    precision: Value = None,
    preferred_element_type: Value = None,
) -> Array:
    """Every window flattened into the features."""
    array = array_of(lhs)
    rank = len(array.shape.items())
    left, _, out = _specs(dimension_numbers, rank)
    windows = dims_of(filter_shape, "filter_shape")
    count = rank - 2
    sizes = windowed(
        _spatial(array, left),
        windows,
        per_axis(window_strides, count, "strides"),
        pads_of(padding, count),
        per_axis(lhs_dilation, count, "dilations"),
        per_axis(rhs_dilation, count, "dilations"),
    )
    features = array.shape.dims[left[1]]
    for window in windows:
        features = features * window
    dims = [Dim.of(0)] * rank
    for place, dim in zip(out, (array.shape.dims[left[0]], features, *sizes), strict=True):
        dims[place] = dim
    return Array(Shape(tuple(dims)), array.dtype)
