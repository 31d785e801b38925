"""einops: rearrange, reduce, repeat, einsum."""

from __future__ import annotations

from collections.abc import Mapping

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value, broadcast, broadcast_dims
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import array_of, arrays_of, dim_of, promote, str_of
from nnx_migrate.linen.effects.einops_patterns import ELLIPSIS, parse, parse_side, shape_of_side, sizes_of
from nnx_migrate.linen.effects.joining import stack
from nnx_migrate.linen.effects.registry import models


def _tensor(value: Value) -> Array:
    """An array, or a list of arrays stacked along a new first axis."""
    return stack(arrays_of(value)) if isinstance(value, tuple | list) else array_of(value)


def _rearranged(tensor: Value, pattern: Value, lengths: Mapping[str, Value]) -> Array:
    array = _tensor(tensor)
    left, right = parse(str_of(pattern, "the pattern"))
    given = {name: dim_of(value, name) for name, value in lengths.items()}
    sizes, ellipsis = sizes_of(left, array.shape, given)
    if ELLIPSIS in right.names and ELLIPSIS not in left.names:
        raise Unmodelled("an ellipsis only on the right")
    return array.with_shape(shape_of_side(right, {**given, **sizes}, ellipsis))


@models("einops.rearrange", "einops.einops.rearrange")
def rearrange(tensor: Value, pattern: Value, **axes_lengths: Value) -> Array:
    """Axes permuted, split and merged."""
    return _rearranged(tensor, pattern, axes_lengths)


@models("einops.repeat", "einops.einops.repeat")
def repeat(tensor: Value, pattern: Value, **axes_lengths: Value) -> Array:
    """Axes permuted, split, merged and added."""
    return _rearranged(tensor, pattern, axes_lengths)


@models("einops.reduce", "einops.einops.reduce")
def reduce(tensor: Value, pattern: Value, reduction: Value, **axes_lengths: Value) -> Array:
    """What the right side lacks is reduced."""
    return Array(_rearranged(tensor, pattern, axes_lengths).shape)


@models("einops.einsum", "einops.einops.einsum")
def einsum(*tensors_and_pattern: Value) -> Array:
    """Einstein summation over named axes; the pattern comes last."""
    if not tensors_and_pattern:
        raise Unmodelled("an einsum of nothing")
    *tensors, pattern = tensors_and_pattern
    left, arrow, right = str_of(pattern, "the pattern").partition("->")
    operands = left.split(",")
    if not arrow or len(operands) != len(tensors):
        raise Unmodelled("an einsum pattern that does not fit the operands")
    arrays = [array_of(tensor) for tensor in tensors]
    sizes: dict[str, Dim] = {}
    leads: list[Shape] = []
    for text, array in zip(operands, arrays, strict=True):
        side = parse_side(text)
        found, lead = sizes_of(side, array.shape, {})
        for name, dim in found.items():
            sizes[name] = broadcast_dims(sizes[name], dim) if name in sizes else dim
        if ELLIPSIS in side.names:
            leads.append(lead)
    shape = shape_of_side(parse_side(right), sizes, broadcast(*leads))
    dtype = promote(*arrays)
    return Array(shape, dtype if dtype not in ("bool", "int") else None)
