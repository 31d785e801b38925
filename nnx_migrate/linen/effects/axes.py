"""Functions that change the order of axes, or add and drop such of size 1."""

from __future__ import annotations

from collections.abc import Sequence

from nnx_migrate.linen.arrays.shapes import (
    Array,
    NumberArray,
    Shape,
    Unmodelled,
    Value,
)
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.effects.arguments import (
    array_of,
    axes_of,
    int_of,
    ints_of,
)
from nnx_migrate.linen.effects.indexing import index_array
from nnx_migrate.linen.effects.registry import models, models_attribute, models_method

# ---- order of axes -----------------------------------------------------------------------------------------


def transposed(shape: Shape, axes: Value) -> Shape:
    """Axes permuted, all of them reversed for None."""
    if axes is None:
        return Shape(shape.items()[::-1])
    if isinstance(axes, NumberArray):
        axes = axes.numbers
    if not shape.exact and isinstance(axes, tuple | list):
        # All axes are listed, so their number is the rank.
        shape = Shape(shape.with_last(len(axes)).dims)
    dims = shape.items()
    order = [axis % len(dims) for axis in axes_of(axes, shape)]
    if len(order) != len(dims):
        raise Unmodelled(f"transpose of an array of rank {len(dims)} with {len(order)} axes")
    return Shape(tuple(dims[axis] for axis in order))


@models("jax.numpy.transpose", "jax.numpy.permute_dims", "numpy.transpose")
def transpose(a: Value, axes: Value = None) -> Array:
    """Axes permuted."""
    array = array_of(a)
    return array.with_shape(transposed(array.shape, axes))


@models("jax.lax.transpose")
def lax_transpose(operand: Value, permutation: Value) -> Array:
    """Axes permuted."""
    return transpose(operand, permutation)


@models_method("transpose")
def transpose_method(a: Value, *args: Value) -> Array:
    """`x.transpose()`, `x.transpose(1, 0)` or `x.transpose((1, 0))`."""
    if len(args) == 1 and (args[0] is None or isinstance(args[0], tuple | list | NumberArray)):
        return transpose(a, args[0])
    return transpose(a, args or None)


@models_attribute("T")
def reversed_axes(a: Value) -> Array:
    """`x.T`."""
    return transpose(a)


@models("jax.numpy.matrix_transpose", "jax.numpy.linalg.matrix_transpose")
@models_attribute("mT")
def matrix_transpose(x: Value, /) -> Array:
    """The last two axes swapped."""
    return swapaxes(x, -1, -2)


@models("jax.numpy.swapaxes", "numpy.swapaxes")
@models_method("swapaxes")
def swapaxes(a: Value, axis1: Value, axis2: Value) -> Array:
    """Two axes swapped."""
    array = array_of(a)
    first, second = (array.shape.axis(int_of(axis, "axis")) for axis in (axis1, axis2))
    dims = (array.shape.dim(first), array.shape.dim(second))
    return array.with_shape(array.shape.replaced(first, dims[1]).replaced(second, dims[0]))


@models("jax.numpy.moveaxis", "numpy.moveaxis")
def moveaxis(a: Value, source: Value, destination: Value) -> Array:
    """Axes moved to other places, the others keeping their order."""
    array = array_of(a)
    moved, places = axes_of(source, array.shape), axes_of(destination, array.shape)
    if len(moved) != len(places):
        raise Unmodelled("moveaxis with unequal numbers of axes")
    # Only the axes from the foremost one touched are rearranged.
    shape = array.shape.with_last(max((-axis for axis in (*moved, *places)), default=0))
    rank = len(shape.dims)
    stays = [i for i in range(rank) if i - rank not in moved]
    order: list[int] = []
    for place in range(rank):
        order.append(moved[places.index(place - rank)] if place - rank in places else stays.pop(0))
    return array.with_shape(Shape(tuple(shape.dims[i] for i in order), shape.lead))


@models("jax.numpy.rollaxis")
def rollaxis(a: Value, axis: Value, start: Value = 0) -> Array:
    """One axis moved in front of another."""
    array = array_of(a)
    rank = len(array.shape.items())
    moved, place = array.shape.axis(int_of(axis, "axis")) + rank, int_of(start, "start")
    place = place + rank if place < 0 else place
    if not 0 <= place <= rank:
        raise Unmodelled("rollaxis out of bounds")
    return moveaxis(a, moved, place - 1 if moved < place else place)


# ---- axes of size 1 ----------------------------------------------------------------------------------------


@models("jax.numpy.expand_dims", "numpy.expand_dims")
def expand_dims(a: Value, axis: Value) -> Array:
    """New axes at these places of the result."""
    array = array_of(a)
    places = ints_of(axis, "axis")
    if not places:
        return array
    if len(set(places)) != len(places):
        raise Unmodelled("expand_dims with a repeated axis")
    if min(places) >= 0 and not array.shape.exact:
        # `x[:, None]` does the same, and knows what is certain for every rank
        return index_array(array, tuple(None if i in places else slice(None) for i in range(max(places) + 1)))
    if all(place < 0 for place in places) and not array.shape.exact:
        rank = max(-place for place in places)
        shape = array.shape.with_last(rank - len(places))
        rank = len(shape.dims) + len(places)
    else:
        shape = Shape(array.shape.items())
        rank = len(shape.dims) + len(places)
    if any(not -rank <= place < rank for place in places):
        raise Unmodelled("expand_dims out of bounds")
    at = {place % rank for place in places}
    if len(at) != len(places):
        raise Unmodelled("expand_dims with a repeated axis")
    rest = iter(shape.dims)
    dims = tuple(Dim.of(1) if i in at else next(rest) for i in range(rank))
    return array.with_shape(Shape(dims, shape.lead))


@models("jax.lax.expand_dims")
def lax_expand_dims(array: Value, dimensions: Value) -> Array:
    """New axes at these places of the result."""
    return expand_dims(array, tuple(ints_of(dimensions, "dimensions")))


@models("jax.numpy.squeeze", "numpy.squeeze")
@models_method("squeeze")
def squeeze(a: Value, axis: Value = None) -> Array:
    """Axes of size 1 removed: these, or all."""
    array = array_of(a)
    if axis is not None:
        return array.with_shape(array.shape.without(axes_of(axis, array.shape)))
    dims = array.shape.items()
    if any(same(dim, 1) is None for dim in dims):
        raise Unmodelled("squeeze of all axes, where it isn't known which have size 1")
    return array.with_shape(Shape(tuple(dim for dim in dims if dim != 1)))


@models("jax.lax.squeeze")
def lax_squeeze(array: Value, dimensions: Value) -> Array:
    """Axes of size 1 removed."""
    return squeeze(array, tuple(ints_of(dimensions, "dimensions")))


def _at_least_rank(rank: int, value: Value) -> Array:
    array = array_of(value)
    dims = array.shape.items()
    if len(dims) >= rank:
        return array
    one = Dim.of(1)
    if rank == 3:
        padded = {0: (one, one, one), 1: (one, *dims, one), 2: (*dims, one)}[len(dims)]
        return array.with_shape(Shape(padded))
    return array.with_shape(Shape((*(one for _ in range(rank - len(dims))), *dims)))


def _of_each(rank: int, values: Sequence[Value]) -> Array | list[Array]:
    arrays = [_at_least_rank(rank, value) for value in values]
    return arrays[0] if len(arrays) == 1 else arrays


@models("jax.numpy.atleast_1d")
def atleast_1d(*arys: Value) -> Array | list[Array]:
    """At least one axis."""
    return _of_each(1, arys)


@models("jax.numpy.atleast_2d")
def atleast_2d(*arys: Value) -> Array | list[Array]:
    """At least two axes."""
    return _of_each(2, arys)


@models("jax.numpy.atleast_3d")
def atleast_3d(*arys: Value) -> Array | list[Array]:
    """At least three axes."""
    return _of_each(3, arys)
