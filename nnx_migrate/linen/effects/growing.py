"""One array made longer or shorter along its axes: repeat, tile, pad, diff."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import NO_RANK, Array, Shape, Unmodelled, Value
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import (
    array_from,
    array_of,
    dim_of,
    dims_of,
    int_of,
    str_of,
    unmodelled,
)
from nnx_migrate.linen.effects.indexing import slice_size
from nnx_migrate.linen.effects.registry import models, models_method


@models("jax.numpy.repeat", "numpy.repeat")
@models_method("repeat")
def repeat(
    a: Value,
    repeats: Value,
    axis: Value = None,
    *,
    total_repeat_length: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Every element several times."""
    array = array_of(a)
    if axis is None:
        array = Array(Shape((array.shape.size,)), array.dtype)
    index = array.shape.axis(0 if axis is None else int_of(axis, "axis"))
    if total_repeat_length is not None:
        return array.with_shape(array.shape.replaced(index, dim_of(total_repeat_length)))
    if isinstance(repeats, tuple | list | Shape):
        counts = dims_of(repeats, "repeats")
        if len(counts) != 1:
            total = Dim.of(0)
            for count in counts:
                total = total + count
            return array.with_shape(array.shape.replaced(index, total))
        repeats = counts[0]
    if isinstance(repeats, Array):
        return array.with_shape(array.shape.replaced(index, Dim.unknown("the counts of repeat are computed")))
    return array.with_shape(array.shape.replaced(index, array.shape.dim(index) * dim_of(repeats)))


@models("jax.numpy.tile", "numpy.tile")
def tile(A: Value, reps: Value) -> Array:  # noqa: N803 - the real name
    """The array several times along every axis."""
    array = array_from(A)
    counts = dims_of(reps, "reps")
    shape = array.shape
    if shape.exact:
        missing = len(counts) - len(shape.dims)
        shape = Shape((*(Dim.of(1) for _ in range(missing)), *shape.dims))
    dims = list(shape.dims)
    for place in range(1, min(len(counts), len(dims)) + 1):
        dims[-place] = dims[-place] * counts[-place]
    # Counts beyond the known axes go to hidden ones or make new ones.
    beyond = not shape.exact and len(counts) > len(dims)
    return array.with_shape(Shape(tuple(dims), "" if beyond else shape.lead))


@models("jax.lax.tile")
def lax_tile(operand: Value, reps: Value) -> Array:
    """The array several times along every axis."""
    return tile(operand, reps)


@models("jax.numpy.pad", "numpy.pad")
def pad(
    array: Value,
    pad_width: Value,
    mode: Value = "constant",
    *,
    constant_values: Value = 0,
    end_values: Value = 0,
    stat_length: Value = None,
    reflect_type: Value = "even",
) -> Array:
    """Axes made longer at both ends."""
    found = array_of(array)
    str_of(mode, "the mode of pad")
    pads = _pad_widths(pad_width, found.shape)
    dims = list(found.shape.dims)
    for place, (low, high) in enumerate(reversed(pads), start=1):
        dims[-place] = dims[-place] + low + high
    return found.with_shape(Shape(tuple(dims), found.shape.lead))


def _pad_widths(pad_width: Value, shape: Shape) -> list[tuple[Dim, Dim]]:
    """One pair per axis, from one int, one pair, one int per side, or pairs."""
    if isinstance(pad_width, dict):
        raise Unmodelled("pad with a dict")
    if isinstance(pad_width, int | Dim):
        side = dim_of(pad_width)
        return [(side, side) for _ in shape.items()]
    if not isinstance(pad_width, tuple | list):
        raise unmodelled(pad_width, "pad_width is not known")
    if all(isinstance(item, int | Dim) for item in pad_width):
        sides = dims_of(pad_width)
        if len(sides) not in (1, 2):
            raise Unmodelled("pad_width does not fit")
        return [(sides[0], sides[-1]) for _ in shape.items()]
    pairs = [dims_of(item, "pad_width") for item in pad_width]
    if any(len(pair) not in (1, 2) for pair in pairs):
        raise Unmodelled("pad_width does not fit")
    full = [(pair[0], pair[-1]) for pair in pairs]
    if len(full) == 1:
        return [full[0] for _ in shape.items()]
    if len({len(pair) for pair in pairs}) > 1:
        raise Unmodelled("pad_width is uneven")
    if not shape.exact or len(full) != len(shape.dims):
        # Without the rank, the number of pairs tells it, but not which axes are hidden.
        if shape.exact or len(full) < len(shape.dims):
            raise Unmodelled("pad_width does not fit the rank")
        return _pads_of_known_axes(full, shape)
    return full


def _pads_of_known_axes(full: list[tuple[Dim, Dim]], shape: Shape) -> list[tuple[Dim, Dim]]:
    """The pairs of the spelled out axes, if the hidden ones are not padded at all."""
    hidden = full[: len(full) - len(shape.dims)]
    if any(side != 0 for pair in hidden for side in pair):
        raise Unmodelled(NO_RANK)
    return full[len(hidden) :]


@models("jax.lax.pad")
def lax_pad(operand: Value, padding_value: Value, padding_config: Value) -> Array:
    """Axes made longer at both ends and between elements."""
    array = array_of(operand)
    if not isinstance(padding_config, tuple | list):
        raise unmodelled(padding_config, "padding_config is not known")
    dims = array.shape.items()
    if len(padding_config) != len(dims):
        raise Unmodelled("padding_config does not fit the rank")
    result = []
    for dim, config in zip(dims, padding_config, strict=True):
        low, high, interior = dims_of(config, "padding_config")
        inner = dim if interior == 0 else (dim - 1) * (interior + 1) + 1
        if dim == 0:
            inner = dim
        result.append(inner + low + high)
    return array.with_shape(Shape(tuple(result)))


@models("jax.numpy.resize")
def resize(a: Value, new_shape: Value) -> Array:
    """The elements repeated to fill a shape."""
    return array_of(a).with_shape(Shape(dims_of(new_shape)))


@models("jax.numpy.diff", "numpy.diff")
def diff(a: Value, n: Value = 1, axis: Value = -1, prepend: Value = None, append: Value = None) -> Array:
    """Differences of neighbours."""
    if prepend is not None or append is not None:
        raise Unmodelled("diff with `prepend` or `append`")
    array = array_of(a)
    index = array.shape.axis(int_of(axis, "axis"))
    shorter = slice_size(array.shape.dim(index), slice(int_of(n, "n"), None))
    return Array(array.shape.replaced(index, shorter))
