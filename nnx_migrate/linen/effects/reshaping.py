"""Functions that rearrange the axes of one array."""

from __future__ import annotations

from collections.abc import Sequence

from nnx_migrate.linen.arrays.leads import axis_size
from nnx_migrate.linen.arrays.shapes import (
    NO_RANK,
    Array,
    Shape,
    Unknown,
    Unmodelled,
    Value,
    aligned,
)
from nnx_migrate.linen.dims import Dim, at_least, product, same
from nnx_migrate.linen.dims.division import exact_quotient
from nnx_migrate.linen.effects.arguments import (
    array_from,
    array_of,
    dim_of,
    int_of,
    ints_of,
    shape_of,
)
from nnx_migrate.linen.effects.axes import swapaxes
from nnx_migrate.linen.effects.registry import models, models_method


def reshaped(shape: Shape, target: Shape) -> Shape:
    """`shape` brought to `target`, in which one size may be -1. Raises Unmodelled if sizes contradict."""
    # Equal leading axes of unknown number cancel.
    shape, target = aligned(shape, target)
    cancels = bool(shape.lead) and shape.lead == target.lead
    wild = [i for i, dim in enumerate(target.dims) if dim == -1]
    if len(wild) > 1:
        raise Unmodelled("reshape with more than one -1")
    unknown = (shape.lead is not None and not cancels) or (target.lead is not None and not cancels)
    total = Dim.unknown(NO_RANK) if unknown else product(shape.dims)
    if unknown and len(wild) == 1 and target.exact:
        flat = _flattened(shape, target, wild[0])
        if flat is not None:
            return Shape((*target.dims[: wild[0]], flat, *target.dims[wild[0] + 1 :]))
    if not wild:  # else a second -1 among the sizes would be an error
        target = Shape(tuple(_not_negative(dim, shape) for dim in target.dims), target.lead)
    if not wild:
        if same(total, product(target.dims)) is False:
            raise Unmodelled(f"reshape of {shape} to {target}")
        return target
    at = wild[0]
    return Shape((*target.dims[:at], _missing(total, shape, target, at), *target.dims[at + 1 :]), target.lead)


def _told_by(target: Shape, array: Unknown) -> Array:
    """What an array of which nothing is known becomes where the code gives the sizes, all or all but a literal -1."""
    wild = [dim for dim in target.dims if dim == -1]
    if not target.exact or len(wild) > 1:
        raise Unmodelled(array.reason)
    left = Dim.unknown(array.reason)
    return Array(Shape(tuple(left if d == -1 else _not_negative(d, Shape()) for d in target.dims)))


def _flattened(shape: Shape, target: Shape, at: int) -> Dim | None:
    """The size at the -1 where an array of unknown rank is flattened, behind its first axes or wholly."""
    front = target.dims[:at]
    if all(dim == 1 for i, dim in enumerate(target.dims) if i != at):
        return shape.elements(0)
    kept = shape.whole and all(dim == axis_size(shape.whole, i) for i, dim in enumerate(front))
    return shape.elements(at) if kept and at == len(target.dims) - 1 else None


def _not_negative(dim: Dim, shape: Shape) -> Dim:
    """A symbol that may hold -1 says nothing about the size; one that is the size of an axis can't hold it."""
    if not dim.known or at_least(dim, 0) or _is_product(dim) or any(same(dim, d) for d in shape.dims):
        return dim
    return Dim.unknown(f"{dim.text()} may be -1 in a reshape")


def _is_product(dim: Dim) -> bool:
    """Sums and products of several sizes: nobody writes -1 that way."""
    parts = [monomial for monomial in dim.terms if monomial.degree > 1]
    return len(parts) == len(dim.terms) and all(number > 0 for number in dim.terms.values())


def _kept_unknown(shape: Shape, target: Shape, at: int) -> set[int]:
    """The axes in front of the -1 that keep a size of which nothing is known: `x.reshape(x.shape[:2] + (-1,))`."""
    pairs = enumerate(zip(shape.dims[:at], target.dims, strict=False))
    return {i for i, (before, after) in pairs if before is after and not before.known}


def _missing(total: Dim, shape: Shape, target: Shape, at: int) -> Dim:
    kept = _kept_unknown(shape, target, at)
    if kept and shape.exact and target.exact:
        total = product(dim for i, dim in enumerate(shape.dims) if i not in kept)
    known = product(dim for i, dim in enumerate(target.dims) if i != at and i not in kept)
    for dim in (total, known):
        if dim.reason is not None:
            return Dim.unknown(dim.reason)
    quotient = exact_quotient(total, known)
    if quotient is not None:
        return quotient
    if total.const is not None and known.const is not None:
        raise Unmodelled(f"reshape of {shape} to {target}")
    # The division has no remainder, or the reshape would fail.
    return total // known


@models("jax.numpy.reshape", "numpy.reshape")
def reshape(
    a: Value,
    shape: Value = None,
    order: Value = "C",
    *,
    copy: Value = None,
    out_sharding: Value = None,
    newshape: Value = None,
) -> Array:
    """`newshape` is the name of older releases. The order of elements does not change sizes."""
    target = shape_of(newshape if shape is None else shape)
    if isinstance(a, Unknown):
        return _told_by(target, a)
    array = array_of(a)
    return array.with_shape(reshaped(array.shape, target))


@models_method("reshape")
def reshape_method(
    a: Value, *args: Value, order: Value = "C", copy: Value = None, out_sharding: Value = None
) -> Array:
    """`x.reshape(2, 3)` or `x.reshape((2, 3))`; a `Shape` among several arguments is a starred one."""
    if isinstance(a, Unknown):
        return _told_by(shape_of_varargs(args), a)
    array = array_of(a)
    return array.with_shape(reshaped(array.shape, shape_of_varargs(args)))


def shape_of_varargs(args: Sequence[Value]) -> Shape:
    """Sizes given as one sequence, or as separate arguments among which starred ones stand as `Shape`."""
    if len(args) == 1:
        return shape_of(args[0])
    result = Shape()
    for arg in args:
        result = result.concat(arg if isinstance(arg, Shape) else Shape((dim_of(arg),)))
    return result


@models("jax.lax.reshape")
def lax_reshape(
    operand: Value, new_sizes: Value, dimensions: Value = None, *, out_sharding: Value = None
) -> Array:
    """A reshape without -1."""
    array = array_of(operand)
    return array.with_shape(reshaped(array.shape, shape_of(new_sizes)))


@models("jax.numpy.ravel", "numpy.ravel")
@models_method("ravel", "flatten")
def ravel(a: Value, order: Value = "C", *, out_sharding: Value = None) -> Array:
    """One axis."""
    array = array_of(a)
    return array.with_shape(Shape((array.shape.size,)))


@models("jax.lax.collapse")
def collapse(operand: Value, start_dimension: Value, stop_dimension: Value = None) -> Array:
    """Several axes merged into one."""
    array = array_of(operand)
    dims = array.shape.items()
    start = array.shape.axis(int_of(start_dimension, "start_dimension")) + len(dims)
    stop = len(dims) if stop_dimension is None else int_of(stop_dimension, "stop_dimension")
    if not 0 <= stop <= len(dims) or stop < start:
        raise Unmodelled("collapse with these bounds")
    return array.with_shape(Shape((*dims[:start], product(dims[start:stop]), *dims[stop:])))


# ---- larger shapes -----------------------------------------------------------------------------------------


@models("jax.numpy.broadcast_to", "numpy.broadcast_to")
def broadcast_to(
    array: Value, shape: Value = None, *, out_sharding: Value = None, arr: Value = None
) -> Array:
    """The given shape."""
    target = shape_of(shape)
    if isinstance(array, Unknown) and target.exact:
        return Array(target)
    found = array_of(array)
    if found.shape.exact and target.exact and len(target.dims) < len(found.shape.dims):
        raise Unmodelled("broadcast_to fewer axes")
    return found.with_shape(target)


@models("jax.lax.broadcast")
def lax_broadcast(operand: Value, sizes: Value, *, out_sharding: Value = None) -> Array:
    """New axes in front."""
    array = array_of(operand)
    return array.with_shape(shape_of(sizes).concat(array.shape))


@models("jax.lax.broadcast_in_dim")
def broadcast_in_dim(
    operand: Value, shape: Value, broadcast_dimensions: Value, *, out_sharding: Value = None
) -> Array:
    """The given shape."""
    return array_of(operand).with_shape(shape_of(shape))


@models("jax.numpy.flip", "numpy.flip")
def flip(m: Value, axis: Value = None) -> Array:
    """Order reversed."""
    return array_of(m)


@models("jax.numpy.fliplr", "jax.numpy.flipud")
def fliplr(m: Value) -> Array:
    """Order reversed."""
    return array_of(m)


@models("jax.lax.rev")
def rev(operand: Value, dimensions: Value) -> Array:
    """Order reversed."""
    return array_of(operand)


@models("jax.numpy.roll", "numpy.roll")
def roll(a: Value, shift: Value, axis: Value = None) -> Array:
    """Elements moved around."""
    return array_of(a)


@models("jax.numpy.rot90")
def rot90(m: Value, k: Value = 1, axes: Value = (0, 1)) -> Array:
    """Quarter turns."""
    array = array_of(m)
    turns, plane = int_of(k, "k"), ints_of(axes, "axes")
    if len(plane) != 2:
        raise Unmodelled("rot90 in something that is not a plane")
    return swapaxes(array, *plane) if turns % 2 else array


@models("jax.numpy.shape", "numpy.shape")
def shape_function(a: Value) -> Shape:
    """`jnp.shape(x)`."""
    return array_from(a).shape.of_array()
