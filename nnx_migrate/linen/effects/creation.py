"""New arrays from sizes and numbers."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value, broadcast
from nnx_migrate.linen.dims import Dim, at_least, ceil_div, maximum
from nnx_migrate.linen.effects.arguments import (
    array_from,
    array_of,
    bool_of,
    dim_of,
    dims_of,
    dtype_of,
    int_of,
    names,
    shape_of,
    unmodelled,
)
from nnx_migrate.linen.effects.registry import models


@models(*names("zeros ones empty", "jax.numpy.", "numpy."))
def zeros(
    shape: Value,
    dtype: Value = None,
    *,
    device: Value = None,
    out_sharding: Value = None,
    order: Value = None,
) -> Array:
    """Arrays of a given shape."""
    return Array(shape_of(shape), dtype_of(dtype, "float"))


@models("jax.numpy.full", "numpy.full")
def full(
    shape: Value,
    fill_value: Value,
    dtype: Value = None,
    *,
    device: Value = None,
    out_sharding: Value = None,
    order: Value = None,
) -> Array:
    """Arrays of a given shape, filled."""
    filling = fill_value if isinstance(fill_value, Array | Dim | int | float) else None
    return Array(shape_of(shape), dtype_of(dtype, None if filling is None else array_of(filling).dtype))


@models("jax.lax.full")
def lax_full(shape: Value, fill_value: Value, dtype: Value = None, *, sharding: Value = None) -> Array:
    """Arrays of a given shape, filled."""
    return full(shape, fill_value, dtype)


@models(*names("zeros_like ones_like", "jax.numpy.", "numpy."))
def zeros_like(
    a: Value,
    dtype: Value = None,
    shape: Value = None,
    *,
    device: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Arrays shaped like another one."""
    array = array_of(a)
    return Array(array.shape if shape is None else shape_of(shape), dtype_of(dtype, array.dtype))


@models("jax.numpy.empty_like", "numpy.empty_like")
def empty_like(prototype: Value, dtype: Value = None, shape: Value = None, *, device: Value = None) -> Array:
    """Arrays shaped like another one."""
    return zeros_like(prototype, dtype, shape)


@models("jax.numpy.full_like", "numpy.full_like")
def full_like(
    a: Value,
    fill_value: Value,
    dtype: Value = None,
    shape: Value = None,
    *,
    device: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Arrays shaped like another one, filled."""
    return zeros_like(a, dtype, shape)


@models("jax.lax.full_like")
def lax_full_like(
    x: Value, fill_value: Value, dtype: Value = None, shape: Value = None, sharding: Value = None
) -> Array:
    """Arrays shaped like another one, filled."""
    return zeros_like(x, dtype, shape)


@models("jax.numpy.array", "numpy.array")
def array(
    object: Value,
    dtype: Value = None,
    *,
    copy: Value = True,
    order: Value = "K",
    ndmin: Value = 0,
    device: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Arrays from numbers, arrays and nested sequences of these."""
    if int_of(ndmin, "ndmin") != 0:
        raise Unmodelled("array with `ndmin`")
    found = array_from(object, "the data")
    return Array(found.shape, dtype_of(dtype, found.dtype))


@models("jax.numpy.asarray", "numpy.asarray")
def asarray(
    a: Value,
    dtype: Value = None,
    order: Value = None,
    *,
    copy: Value = None,
    device: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Arrays from numbers, arrays and nested sequences of these."""
    return array(a, dtype)


@models("jax.numpy.arange", "numpy.arange")
def arange(
    start: Value,
    stop: Value = None,
    step: Value = None,
    dtype: Value = None,
    *,
    device: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Equally spaced numbers; only integer bounds have a size that can be told."""
    if any(isinstance(value, Array) for value in (start, stop, step)):
        return Array(Shape((Dim.unknown("arange over computed bounds"),)), dtype_of(dtype))
    if any(isinstance(value, float) for value in (start, stop, step)):
        return Array(Shape((Dim.unknown("arange over floats"),)), dtype_of(dtype, "float"))
    low, high = (Dim.of(0), dim_of(start)) if stop is None else (dim_of(start), dim_of(stop))
    if step is not None and dim_of(step).const is None:
        return Array(Shape((Dim.unknown("arange with a computed step"),)), dtype_of(dtype, "int"))
    stride = 1 if step is None else int_of(step, "the step of arange")
    if stride == 0:
        raise Unmodelled("arange with step 0")
    length = maximum(high - low if stride > 0 else low - high, 0)
    return Array(Shape((ceil_div(length, abs(stride)),)), dtype_of(dtype, "int"))


@models("jax.numpy.linspace", "numpy.linspace")
def linspace(
    start: Value,
    stop: Value,
    num: Value = 50,
    endpoint: Value = True,
    retstep: Value = False,
    dtype: Value = None,
    axis: Value = 0,
    *,
    device: Value = None,
) -> Array:
    """Equally spaced numbers between two, which may be arrays."""
    if bool_of(retstep, "retstep"):
        raise Unmodelled("linspace with `retstep`")
    return _spaced(start, stop, num, dtype, axis)


@models("jax.numpy.geomspace")
def geomspace(
    start: Value, stop: Value, num: Value = 50, endpoint: Value = True, dtype: Value = None, axis: Value = 0
) -> Array:
    """Numbers of equal ratio between two."""
    return _spaced(start, stop, num, dtype, axis)


@models("jax.numpy.logspace")
def logspace(
    start: Value,
    stop: Value,
    num: Value = 50,
    endpoint: Value = True,
    base: Value = 10.0,
    dtype: Value = None,
    axis: Value = 0,
) -> Array:
    """Numbers of equal ratio between two powers."""
    return _spaced(start, stop, num, dtype, axis)


def _spaced(start: Value, stop: Value, num: Value, dtype: Value, axis: Value) -> Array:
    ends = broadcast(array_of(start).shape, array_of(stop).shape).items()
    at = int_of(axis, "axis") % (len(ends) + 1)
    return Array(Shape((*ends[:at], dim_of(num), *ends[at:])), dtype_of(dtype, None))


@models("jax.numpy.eye", "numpy.eye")
def eye(
    N: Value,  # noqa: N803
    M: Value = None,  # noqa: N803
    k: Value = 0,
    dtype: Value = None,
    *,
    device: Value = None,
) -> Array:
    """Ones on a diagonal."""
    rows = dim_of(N)
    return Array(Shape((rows, rows if M is None else dim_of(M))), dtype_of(dtype, "float"))


@models("jax.numpy.identity", "numpy.identity")
def identity(n: Value, dtype: Value = None) -> Array:
    """The identity matrix."""
    return eye(n, dtype=dtype)


@models("jax.numpy.tri")
def tri(N: Value, M: Value = None, k: Value = 0, dtype: Value = None) -> Array:  # noqa: N803 - the real names
    """Ones below a diagonal."""
    return eye(N, M, k, dtype)


@models("jax.numpy.meshgrid", "numpy.meshgrid")
def meshgrid(*xi: Value, copy: Value = True, sparse: Value = False, indexing: Value = "xy") -> list[Array]:
    """Coordinate arrays; the first two axes are swapped in "xy" indexing."""
    arrays = [array_of(x) for x in xi]
    lengths = []
    for item in arrays:
        rank = item.shape.rank
        if rank is None or rank > 1:
            raise Unmodelled("meshgrid of something that is not a vector")
        lengths.append(item.shape.dims[0] if rank else Dim.of(1))
    order = list(range(len(arrays)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    elif indexing not in ("xy", "ij"):
        raise unmodelled(indexing, "meshgrid with unknown indexing")
    if not bool_of(sparse, "sparse"):
        shape = Shape(tuple(lengths[i] for i in order))
        return [item.with_shape(shape) for item in arrays]
    return [
        item.with_shape(Shape(tuple(lengths[i] if i == own else Dim.of(1) for i in order)))
        for own, item in enumerate(arrays)
    ]


@models("jax.numpy.mgrid.__getitem__", "numpy.mgrid.__getitem__")
def mgrid(key: Value) -> Array:
    """Coordinates of all points of a grid, from the slices in `jnp.mgrid[:h, :w]`."""
    slices = key if isinstance(key, tuple) else (key,)
    counts: list[Dim] = []
    for part in slices:
        if not isinstance(part, slice) or part.step is not None:
            raise Unmodelled("a grid of other points than all between two numbers")
        counts.append(maximum(dim_of(part.stop) - dim_of(part.start or 0), 0))
    return Array(Shape((Dim.of(len(counts)), *counts) if isinstance(key, tuple) else tuple(counts)), "int")


@models("jax.nn.one_hot", "flax.linen.one_hot")
def one_hot(x: Value, num_classes: Value, *, dtype: Value = None, axis: Value = -1) -> Array:
    """One-hot vectors along a new axis."""
    shape, classes = array_of(x).shape, dim_of(num_classes)
    result = dtype_of(dtype, "float")
    position = int_of(axis, "axis")
    if position == -1:
        return Array(shape.then(classes), result)
    items = shape.items()
    at = position % (len(items) + 1)
    return Array(Shape((*items[:at], classes, *items[at:])), result)


@models("flax.training.common_utils.onehot")
def onehot(labels: Value, num_classes: Value, on_value: Value = 1.0, off_value: Value = 0.0) -> Array:
    """One-hot vectors along the last axis."""
    if not at_least(dim_of(num_classes), 0):
        raise Unmodelled("one-hot vectors of a size that may be negative")
    return Array(array_of(labels).shape.then(dim_of(num_classes)))


@models("jax.nn.initializers.zeros", "jax.nn.initializers.ones")
@models("flax.linen.initializers.zeros", "flax.linen.initializers.ones")
def initial_values(key: Value, shape: Value, dtype: Value = None, out_sharding: Value = None) -> Array:
    """Initializers that are plain functions."""
    return Array(shape_of(shape), dtype_of(dtype, "float"))


@models("jax.numpy.diag_indices")
def diag_indices(n: Value, ndim: Value = 2) -> tuple[Array, ...]:
    """Coordinates of the diagonal."""
    places = Array(Shape((dim_of(n),)), "int")
    return (places,) * int_of(ndim, "ndim")


def _triangle(n: Value, k: int, m: Value) -> tuple[Array, Array]:
    """Coordinates of the entries on and below the k-th diagonal."""
    size = dim_of(n)
    if m is not None:
        raise Unmodelled("the triangle of a matrix that may not be square")
    if size.const is not None:
        total = sum(min(max(row + k + 1, 0), size.const) for row in range(size.const))
        count = Dim.of(total)
    elif k in (-1, 0):
        count = size * (size + 1 + 2 * k) // 2
    else:
        raise Unmodelled("a triangle of unknown size with this diagonal")
    places = Array(Shape((count,)), "int")
    return places, places


@models("jax.numpy.tril_indices", "numpy.tril_indices")
def tril_indices(n: Value, k: Value = 0, m: Value = None) -> tuple[Array, Array]:
    """Coordinates of the lower triangle."""
    return _triangle(n, int_of(k, "k"), m)


@models("jax.numpy.triu_indices", "numpy.triu_indices")
def triu_indices(n: Value, k: Value = 0, m: Value = None) -> tuple[Array, Array]:
    """Coordinates of the upper triangle, which is as large as the lower one mirrored."""
    return _triangle(n, -int_of(k, "k"), m)


@models("jax.lax.iota")
def iota(dtype: Value, size: Value) -> Array:
    """0, 1, 2, ..."""
    return Array(Shape((dim_of(size),)), dtype_of(dtype))


@models("jax.lax.broadcasted_iota")
def broadcasted_iota(dtype: Value, shape: Value, dimension: Value, *, out_sharding: Value = None) -> Array:
    """0, 1, 2, ... along one axis."""
    return Array(shape_of(shape), dtype_of(dtype))


@models("jax.numpy.indices")
def indices(dimensions: Value, dtype: Value = None, sparse: Value = False) -> Array:
    """Coordinates of all places of a grid, stacked."""
    if bool_of(sparse, "sparse"):
        raise Unmodelled("indices with `sparse`")
    dims = dims_of(dimensions)
    return Array(Shape((Dim.of(len(dims)), *dims)), dtype_of(dtype, "int"))


@models("jax.numpy.tril", "jax.numpy.triu")
def tril(m: Value, k: Value = 0) -> Array:
    """One triangle of a matrix."""
    found = array_of(m)
    found.shape.last(2)
    return found


@models("jax.numpy.broadcast_arrays")
def broadcast_arrays(*args: Value) -> list[Array]:
    """All arrays in their common shape."""
    arrays = [array_of(arg) for arg in args]
    shape = broadcast(*(item.shape for item in arrays))
    return [item.with_shape(shape) for item in arrays]


@models("jax.numpy.broadcast_shapes", "jax.lax.broadcast_shapes")
def broadcast_shapes(*shapes: Value) -> Shape:
    """The common shape."""
    return broadcast(*(shape_of(shape) for shape in shapes))
