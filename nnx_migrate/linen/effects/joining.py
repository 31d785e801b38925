"""Several arrays from one, one from several, and one made longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnx_migrate.linen.arrays.other_ranks import JOINED, UNEVEN
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.effects.arguments import (
    array_of,
    arrays_of,
    dims_of,
    dtype_of,
    int_of,
    promote,
    unmodelled,
)
from nnx_migrate.linen.effects.axes import atleast_1d, atleast_2d, atleast_3d
from nnx_migrate.linen.effects.indexing import slice_size
from nnx_migrate.linen.effects.registry import models, models_method

# ---- joining -----------------------------------------------------------------------------------------------


def merged(shapes: Sequence[Shape], skip: int | None = None) -> Shape:
    """What shapes that must be equal, but for the axis `skip` (negative), say together."""
    ranks = {shape.rank for shape in shapes if shape.exact}
    if len(ranks) > 1:
        raise Unmodelled(JOINED)
    exact = next((shape for shape in shapes if shape.exact), None)
    length = max(len(shape.dims) for shape in shapes)
    if exact is not None and length > len(exact.dims):
        raise Unmodelled(JOINED)
    if exact is not None:
        lead, length = None, len(exact.dims)
    else:
        # All are equal in front, so any name will do.
        shapes = [shape.with_last(length) for shape in shapes]
        lead = next((name for name in sorted({s.lead for s in shapes}, key=str) if name), "")
    dims = []
    for index in range(-length, 0):
        known = [s.dims[index] for s in shapes if len(s.dims) >= -index]
        dims.append(Dim.of(0) if index == skip else _agreed(known))
    return Shape(tuple(dims), lead)


def _agreed(dims: Sequence[Dim]) -> Dim:
    """The size that all of `dims` are: a number if there is one, else the first that is known."""
    for dim in dims:
        if any(same(dim, other) is False for other in dims):
            raise Unmodelled("arrays of different sizes are joined")
    for dim in dims:
        if dim.const is not None:
            return dim
    return next((dim for dim in dims if dim.known), dims[0])


def joined(arrays: Sequence[Array], axis: int) -> Array:
    """Arrays one behind the other along an axis."""
    shapes = [array.shape for array in arrays]
    exact = next((shape for shape in shapes if shape.exact), None)
    index = (exact or shapes[0]).axis(axis)
    result = merged([shape.with_last(-index) for shape in shapes], skip=index)
    total = Dim.of(0)
    for shape in shapes:
        total = total + shape.dim(index)
    return Array(result.replaced(index, total), promote(*arrays))


@models("jax.numpy.concatenate", "numpy.concatenate")
def concatenate(arrays: Value, axis: Value = 0, dtype: Value = None) -> Array:
    """Arrays joined along an axis, None for all of them flattened."""
    if isinstance(arrays, Array) and axis is not None and arrays.shape.dim(0).const is None:
        return Array(_rows_joined(arrays, int_of(axis, "axis")), dtype_of(dtype, arrays.dtype))
    parts = arrays_of(arrays, "the arrays")
    if axis is None:
        parts = [Array(Shape((part.shape.size,)), part.dtype) for part in parts]
    result = joined(parts, 0 if axis is None else int_of(axis, "axis"))
    return Array(result.shape, dtype_of(dtype, result.dtype))


def _rows_joined(array: Array, axis: int) -> Shape:
    """The parts of one array, by its first axis, one behind the other along an axis of theirs."""
    if not array.shape.exact:
        raise Unmodelled("the parts of an array of unknown rank")
    count, *dims = array.shape.dims
    part = Shape(tuple(dims))
    index = part.axis(axis)
    return part.replaced(index, count * part.dim(index))


@models("jax.numpy.concat")
def concat(arrays: Value, /, *, axis: Value = 0) -> Array:
    """Arrays joined along an axis."""
    return concatenate(arrays, axis)


@models("jax.lax.concatenate")
def lax_concatenate(operands: Value, dimension: Value) -> Array:
    """Arrays joined along an axis."""
    return joined(arrays_of(operands), int_of(dimension, "dimension"))


@models("jax.numpy.append")
def append(arr: Value, values: Value, axis: Value = None) -> Array:
    """Two arrays joined, flattened without an axis."""
    return concatenate((arr, values), axis)


@models("jax.numpy.stack", "numpy.stack")
def stack(arrays: Value, axis: Value = 0, out: None = None, dtype: Value = None) -> Array:
    """Equally shaped arrays along a new axis."""
    parts = arrays_of(arrays, "the arrays")
    shape = merged([part.shape for part in parts])
    place = int_of(axis, "axis")
    if place == -1:
        result = shape.then(len(parts))
    elif place < 0 and not shape.exact:
        behind = -place - 1
        result = shape.before(behind).then(len(parts), *shape.last(behind))
    else:
        dims = shape.items()
        if not -len(dims) - 1 <= place <= len(dims):
            raise Unmodelled("stack out of bounds")
        at = place % (len(dims) + 1)
        result = Shape((*dims[:at], Dim.of(len(parts)), *dims[at:]))
    return Array(result, dtype_of(dtype, promote(*parts)))


@models("jax.lax.stack")
def lax_stack(operands: Value, axis: Value = 0) -> Array:
    """Equally shaped arrays along a new axis."""
    return stack(operands, axis)


def _each(values: Value, least: Callable[..., Array | list[Array]]) -> list[Array]:
    made = least(*arrays_of(values))
    return made if isinstance(made, list) else [made]


@models("jax.numpy.hstack", "numpy.hstack")
def hstack(tup: Value, dtype: Value = None) -> Array:
    """Joined along the second axis, vectors along their only one."""
    parts = _each(tup, atleast_1d)
    return concatenate(parts, 0 if parts[0].shape.rank == 1 else 1, dtype)


@models("jax.numpy.vstack", "jax.numpy.row_stack", "numpy.vstack")
def vstack(tup: Value, dtype: Value = None) -> Array:
    """Joined along the first axis, vectors as rows."""
    return concatenate(_each(tup, atleast_2d), 0, dtype)


@models("jax.numpy.dstack")
def dstack(tup: Value, dtype: Value = None) -> Array:
    """Joined along the third axis."""
    return concatenate(_each(tup, atleast_3d), 2, dtype)


@models("jax.numpy.column_stack")
def column_stack(tup: Value) -> Array:
    """Vectors as columns, matrices side by side."""
    parts = []
    for part in arrays_of(tup):
        one = Dim.of(1)
        dims = part.shape.items()
        padded = {0: (one, one), 1: (*dims, one)}.get(len(dims), dims)
        parts.append(part.with_shape(Shape(padded)))
    return joined(parts, 1)


# ---- splitting ---------------------------------------------------------------------------------------------


def _parts(array: Array, sizes: Sequence[Dim], index: int) -> list[Array]:
    return [array.with_shape(array.shape.replaced(index, size)) for size in sizes]


def _split(ary: Value, indices_or_sections: Value, axis: Value, uneven: bool = False) -> list[Array]:
    array = array_of(ary)
    index = array.shape.axis(int_of(axis, "axis"))
    length = array.shape.dim(index)
    if isinstance(indices_or_sections, tuple | list | Shape):
        bounds = list(dims_of(indices_or_sections, "split points"))
        starts, stops = [Dim.of(0), *bounds], [*bounds, None]
        slices = [slice(start, stop) for start, stop in zip(starts, stops, strict=True)]
        return _parts(array, [slice_size(length, item) for item in slices], index)
    if isinstance(indices_or_sections, Array):
        raise Unmodelled("split at computed points")
    count = int_of(indices_or_sections, "the number of parts")
    if count < 1:
        raise Unmodelled("split into no parts")
    if not uneven:
        if length.const is not None and length.const % count:
            raise Unmodelled(f"{length.const} {UNEVEN} {count} parts")
        return _parts(array, [length // count] * count, index)
    # The first `length % count` parts are longer by one.
    if length.const is not None:
        extra = length.const % count
        return _parts(array, [Dim.of(length.const // count + (i < extra)) for i in range(count)], index)
    return _parts(array, [(length + (count - 1 - i)) // count for i in range(count)], index)


@models("jax.numpy.split", "numpy.split")
@models_method("split")
def split(ary: Value, indices_or_sections: Value, axis: Value = 0) -> list[Array]:
    """Equal parts, or parts between points."""
    return _split(ary, indices_or_sections, axis)


@models("jax.numpy.array_split", "numpy.array_split")
def array_split(ary: Value, indices_or_sections: Value, axis: Value = 0) -> list[Array]:
    """Parts that need not be equal, or parts between points."""
    return _split(ary, indices_or_sections, axis, uneven=True)


@models("jax.numpy.hsplit")
def hsplit(ary: Value, indices_or_sections: Value) -> list[Array]:
    """Split along the second axis, a vector along its only one."""
    rank = len(array_of(ary).shape.items())
    return _split(ary, indices_or_sections, 0 if rank == 1 else 1)


@models("jax.numpy.vsplit")
def vsplit(ary: Value, indices_or_sections: Value) -> list[Array]:
    """Split along the first axis."""
    return _split(ary, indices_or_sections, 0)


@models("jax.numpy.dsplit")
def dsplit(ary: Value, indices_or_sections: Value) -> list[Array]:
    """Split along the third axis."""
    return _split(ary, indices_or_sections, 2)


@models("jax.lax.split")
def lax_split(operand: Value, sizes: Value, axis: Value = 0) -> list[Array]:
    """Parts of given sizes."""
    array = array_of(operand)
    return _parts(array, dims_of(sizes), array.shape.axis(int_of(axis, "axis")))


@models("jax.numpy.unstack")
def unstack(x: Value, /, *, axis: Value = 0) -> tuple[Array, ...]:
    """All slices along an axis."""
    array = array_of(x)
    index = array.shape.axis(int_of(axis, "axis"))
    count = int_of(array.shape.dim(index), "the length of the axis")
    return (array.with_shape(array.shape.without([index])),) * count


# ---- blocks -------------------------------------------------------------------------------------------------


@models("jax.numpy.block")
def block(arrays: Value) -> Array:
    """Nested lists of blocks: the innermost are joined along the last axis."""
    if isinstance(arrays, Array):
        return arrays
    if not isinstance(arrays, list) or not arrays:
        raise unmodelled(arrays, "the blocks are not known")
    depth = _depth(arrays)
    return _blocks(arrays, depth, depth)


def _depth(value: Value) -> int:
    return 1 + _depth(value[0]) if isinstance(value, list) and value else 0


def _blocks(value: Value, level: int, depth: int) -> Array:
    if level == 0:
        array = array_of(value)
        missing = max(depth - len(array.shape.items()), 0)
        return array.with_shape(Shape((*(Dim.of(1) for _ in range(missing)), *array.shape.dims)))
    if not isinstance(value, list):
        raise Unmodelled("blocks of uneven depth")
    return joined([_blocks(item, level - 1, depth) for item in value], -level)
