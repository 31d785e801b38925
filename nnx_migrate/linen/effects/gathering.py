"""Reading and writing parts of arrays: `x[...]`, take, dynamic slices, segments, sorting."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value, broadcast, broadcast_dims
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import (
    array_of,
    bool_of,
    dim_of,
    dims_of,
    int_of,
    names,
)
from nnx_migrate.linen.effects.indexing import index_array, slice_size
from nnx_migrate.linen.effects.registry import models, models_method

# ---- reading -----------------------------------------------------------------------------------------------


@models_method("__getitem__")
def getitem(a: Value, index: Value) -> Array:
    """`x[index]`."""
    return index_array(array_of(a), index)


@models("jax.numpy.take", "numpy.take")
@models_method("take")
def take(
    a: Value,
    indices: Value,
    axis: Value = None,
    out: None = None,
    mode: Value = None,
    unique_indices: Value = False,
    indices_are_sorted: Value = False,
    fill_value: Value = None,
) -> Array:
    """The axis replaced by the axes of the indices."""
    array, index = array_of(a), array_of(indices, "indices")
    if axis is None:
        return Array(index.shape, array.dtype)
    place = array.shape.axis(int_of(axis, "axis"))
    if index.shape.exact:
        return array.with_shape(array.shape.replaced(place, *index.shape.dims))
    if place == -len(array.shape.dims) and array.shape.exact:
        # The first axis: the indices' axes come first, however many there are.
        return array.with_shape(index.shape.concat(Shape(array.shape.dims[1:])))
    raise Unmodelled("take with indices of unknown rank")


@models("jax.numpy.take_along_axis", "numpy.take_along_axis")
def take_along_axis(
    arr: Value,
    indices: Value,
    axis: Value = -1,
    mode: Value = None,
    fill_value: Value = None,
    *,
    wrap_negative_indices: Value = None,
) -> Array:
    """The sizes of the indices along the axis; other axes broadcast."""
    array, index = array_of(arr), array_of(indices, "indices")
    if axis is None:
        raise Unmodelled("take_along_axis without axis")
    place = array.shape.axis(int_of(axis, "axis"))
    if not array.shape.exact or array.shape.rank != index.shape.rank:
        raise Unmodelled("take_along_axis of arrays of unknown rank")
    dims = [
        theirs if i - len(array.shape.dims) == place else broadcast_dims(ours, theirs)
        for i, (ours, theirs) in enumerate(zip(array.shape.dims, index.shape.dims, strict=True))
    ]
    return array.with_shape(Shape(tuple(dims)))


@models("jax.lax.dynamic_slice")
def dynamic_slice(
    operand: Value, start_indices: Value, slice_sizes: Value, *, allow_negative_indices: Value = True
) -> Array:
    """A part of given size."""
    return array_of(operand).with_shape(Shape(dims_of(slice_sizes)))


@models("jax.lax.dynamic_slice_in_dim")
def dynamic_slice_in_dim(
    operand: Value,
    start_index: Value,
    slice_size: Value,
    axis: Value = 0,
    *,
    allow_negative_indices: Value = True,
) -> Array:
    """A part of given size along one axis."""
    array = array_of(operand)
    place = array.shape.axis(int_of(axis, "axis"))
    return array.with_shape(array.shape.replaced(place, dim_of(slice_size)))


@models("jax.lax.dynamic_index_in_dim")
def dynamic_index_in_dim(
    operand: Value,
    index: Value,
    axis: Value = 0,
    keepdims: Value = True,
    *,
    allow_negative_indices: Value = True,
) -> Array:
    """One index along an axis."""
    array = array_of(operand)
    place = array.shape.axis(int_of(axis, "axis"))
    if bool_of(keepdims, "keepdims"):
        return array.with_shape(array.shape.replaced(place, 1))
    return array.with_shape(array.shape.without([place]))


@models("jax.lax.index_in_dim")
def index_in_dim(operand: Value, index: Value, axis: Value = 0, keepdims: Value = True) -> Array:
    """One index along an axis."""
    return dynamic_index_in_dim(operand, index, axis, keepdims)


@models("jax.lax.slice_in_dim")
def slice_in_dim(
    operand: Value, start_index: Value, limit_index: Value, stride: Value = 1, axis: Value = 0
) -> Array:
    """A slice along one axis."""
    array = array_of(operand)
    place = array.shape.axis(int_of(axis, "axis"))
    length = slice_size(array.shape.dim(place), slice(start_index, limit_index, stride))
    return array.with_shape(array.shape.replaced(place, length))


@models("jax.lax.slice")
def lax_slice(operand: Value, start_indices: Value, limit_indices: Value, strides: Value = None) -> Array:
    """Slices along all axes; bounds must lie within the array."""
    array = array_of(operand)
    dims = array.shape.items()
    starts, limits = dims_of(start_indices), dims_of(limit_indices)
    steps = (Dim.of(1),) * len(dims) if strides is None else dims_of(strides)
    if not len(starts) == len(limits) == len(steps) == len(dims):
        raise Unmodelled("slice bounds do not fit the rank")
    sizes = [
        slice_size(dim, slice(start, limit, step))
        for dim, start, limit, step in zip(dims, starts, limits, steps, strict=True)
    ]
    return array.with_shape(Shape(tuple(sizes)))


# ---- writing -----------------------------------------------------------------------------------------------


@models("jax.lax.dynamic_update_slice")
def dynamic_update_slice(
    operand: Value, update: Value, start_indices: Value, *, allow_negative_indices: Value = True
) -> Array:
    """The array with a part replaced."""
    return array_of(operand)


@models("jax.lax.dynamic_update_slice_in_dim")
def dynamic_update_slice_in_dim(
    operand: Value, update: Value, start_index: Value, axis: Value, *, allow_negative_indices: Value = True
) -> Array:
    """The array with a part replaced."""
    return array_of(operand)


@models("jax.lax.dynamic_update_index_in_dim")
def dynamic_update_index_in_dim(
    operand: Value, update: Value, index: Value, axis: Value, *, allow_negative_indices: Value = True
) -> Array:
    """The array with a part replaced."""
    return array_of(operand)


def _at_update(a: Value, index: Value, *_args: Value, **_options: Value) -> Array:
    """`x.at[index].set(...)` and its like return an array like `x`."""
    return array_of(a)


for _name in ("set", "add", "subtract", "multiply", "mul", "divide", "power", "min", "max", "apply"):
    models_method(f"at[].{_name}")(_at_update)


@models_method("at[].get")
def at_get(
    a: Value,
    index: Value,
    *,
    mode: Value = None,
    fill_value: Value = None,
    indices_are_sorted: Value = False,
    unique_indices: Value = False,
    out_sharding: Value = None,
) -> Array:
    """`x.at[index].get()`."""
    return index_array(array_of(a), index)


# ---- segments ----------------------------------------------------------------------------------------------


@models(*names("segment_sum segment_max segment_min segment_prod", "jax.ops."))
@models(*names("segment_sum segment_mean segment_max segment_min segment_prod", "jraph."))
def segment_sum(
    data: Value,
    segment_ids: Value,
    num_segments: Value = None,
    indices_are_sorted: Value = False,
    unique_indices: Value = False,
    bucket_size: Value = None,
    mode: Value = None,
    out_sharding: Value = None,
) -> Array:
    """The first axis replaced by the number of segments."""
    array, ids = array_of(data), array_of(segment_ids)
    if num_segments is None:
        raise Unmodelled("the number of segments depends on values")
    if ids.shape.rank != 1:
        raise Unmodelled("segment ids that are no vector")
    if not array.shape.exact and len(array.shape.dims) > 1:
        return array.with_shape(Shape(array.shape.dims[1:], ""))
    dims = array.shape.items()
    return array.with_shape(Shape((dim_of(num_segments), *dims[1:])))


# ---- order -------------------------------------------------------------------------------------------------


@models("jax.numpy.sort", "numpy.sort")
@models_method("sort")
def sort(
    a: Value,
    axis: Value = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: Value = True,
    descending: Value = False,
) -> Array:
    """Sorted along an axis, None for the flat array."""
    array = array_of(a)
    if axis is None:
        return array.with_shape(Shape((array.shape.size,)))
    int_of(axis, "axis")
    return array.with_shape(array.shape)


@models("jax.numpy.argsort", "numpy.argsort")
@models_method("argsort")
def argsort(
    a: Value,
    axis: Value = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: Value = True,
    descending: Value = False,
    dtype: Value = None,
) -> Array:
    """Positions in sorted order."""
    return Array(sort(a, axis).shape, "int" if dtype is None else None)


@models("jax.lax.top_k")
def top_k(operand: Value, k: Value, *, axis: Value = -1) -> list[Array]:
    """The largest elements along an axis and their positions."""
    array = array_of(operand)
    place = array.shape.axis(int_of(axis, "axis"))
    shape = array.shape.replaced(place, dim_of(k))
    return [array.with_shape(shape), Array(shape, "int")]


@models("jax.lax.sort")
def lax_sort(operand: Value, dimension: Value = -1, is_stable: Value = True, num_keys: Value = 1) -> Value:
    """Sorted along an axis; sequences come back as tuples."""
    if isinstance(operand, tuple | list):
        return tuple(array_of(item) for item in operand)
    return array_of(operand)


@models("jax.lax.sort_key_val")
def sort_key_val(
    keys: Value, values: Value, dimension: Value = -1, is_stable: Value = True
) -> tuple[Array, Array]:
    """Keys and values sorted by the keys."""
    found, others = array_of(keys), array_of(values)
    return found, others


@models("jax.numpy.searchsorted")
def searchsorted(
    a: Value, v: Value, side: Value = "left", sorter: Value = None, *, method: Value = "scan"
) -> Array:
    """Positions of values in a sorted vector."""
    return Array(array_of(v).shape, "int")


@models("jax.numpy.digitize")
def digitize(x: Value, bins: Value, right: Value = False, *, method: Value = None) -> Array:
    """The bins of values."""
    return Array(array_of(x).shape, "int")


@models("jax.numpy.bincount")
def bincount(
    x: Value,
    weights: Value = None,
    minlength: Value = 0,
    *,
    length: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Counts of values below `length`."""
    if length is None:
        raise Unmodelled("the length of bincount depends on values")
    return Array(Shape((dim_of(length),)), "int" if weights is None else None)


@models("jax.numpy.interp")
def interp(
    x: Value, xp: Value, fp: Value, left: Value = None, right: Value = None, period: Value = None
) -> Array:
    """Interpolated values at the points `x`."""
    return Array(array_of(x).shape)


@models("jax.numpy.isin")
def isin(
    element: Value,
    test_elements: Value,
    assume_unique: Value = False,
    invert: Value = False,
    *,
    method: Value = "auto",
) -> Array:
    """Whether elements occur elsewhere."""
    return Array(array_of(element).shape, "bool")


@models("jax.numpy.array_equal")
def array_equal(a1: Value, a2: Value, equal_nan: Value = False) -> Array:
    """One truth value."""
    return Array(Shape(), "bool")


@models("jax.numpy.allclose")
def allclose(a: Value, b: Value, rtol: Value = 1e-05, atol: Value = 1e-08, equal_nan: Value = False) -> Array:
    """One truth value."""
    return Array(Shape(), "bool")


@models("jax.numpy.ravel_multi_index")
def ravel_multi_index(
    multi_index: Value, dims: Value, mode: Value = "raise", order: Value = "C", *, dtype: Value = None
) -> Array:
    """Flat positions."""
    if not isinstance(multi_index, tuple | list):
        raise Unmodelled("indices are not a known sequence")
    return Array(broadcast(*(array_of(index).shape for index in multi_index)), "int")


@models("jax.numpy.unravel_index")
def unravel_index(indices: Value, shape: Value) -> tuple[Array, ...]:
    """Coordinates of flat positions."""
    array = array_of(indices)
    return tuple(Array(array.shape) for _ in dims_of(shape))
