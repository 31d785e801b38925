"""einops.pack and einops.unpack: arrays joined along an axis that stands for any number of theirs."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value
from nnx_migrate.linen.dims import Dim, product
from nnx_migrate.linen.dims.division import exact_quotient
from nnx_migrate.linen.effects.arguments import array_of, arrays_of, dims_of, promote, str_of
from nnx_migrate.linen.effects.registry import models


def _places(pattern: Value) -> tuple[int, int]:
    """How many axes a pattern names before and behind the `*`."""
    names = str_of(pattern, "the pattern").split()
    if names.count("*") != 1:
        raise Unmodelled(f"einops pattern {pattern!r}")
    before = names.index("*")
    return before, len(names) - before - 1


@models("einops.pack")
def pack(tensors: Value, pattern: Value) -> Value:
    """One array of several, with the shapes that the `*` stood for in each."""
    before, behind = _places(pattern)
    arrays = arrays_of(tensors)
    packed: list[tuple[Dim, ...]] = []
    total = Dim.of(0)
    for array in arrays:
        dims = array.shape.items()
        if len(dims) < before + behind:
            raise Unmodelled("an array with fewer axes than the pattern names")
        packed.append(dims[before : len(dims) - behind])
        total = total + product(packed[-1])
    dims = arrays[0].shape.items()
    shape = Shape((*dims[:before], total, *dims[len(dims) - behind :]))
    return Array(shape, promote(*arrays)), [Shape(part) for part in packed]


@models("einops.unpack")
def unpack(tensor: Value, packed_shapes: Value, pattern: Value) -> list[Array]:
    """The arrays that were packed."""
    before, behind = _places(pattern)
    array = array_of(tensor)
    dims = array.shape.last(before + behind + 1)
    if array.shape.exact and len(array.shape.items()) != len(dims):
        raise Unmodelled("an array with other axes than the pattern names")
    if not isinstance(packed_shapes, tuple | list):
        raise Unmodelled("packed shapes that are not known")
    shapes = [dims_of(shape, "a packed shape") for shape in packed_shapes]
    known = [product(shape) for shape in shapes if -1 not in shape]
    if len(known) < len(shapes) - 1:
        raise Unmodelled("several packed shapes of unknown size")
    rest = dims[before]
    for size in known:
        rest = rest - size
    parts = [_filled(shape, rest) for shape in shapes]
    ends = dims[:before], dims[before + 1 :]
    return [array.with_shape(Shape((*ends[0], *part, *ends[1]))) for part in parts]


def _filled(shape: tuple[Dim, ...], rest: Dim) -> tuple[Dim, ...]:
    """A packed shape with the size that is left in the place of its -1."""
    others = [dim for dim in shape if dim != -1]
    if len(others) < len(shape) - 1:
        raise Unmodelled("a packed shape with several unknown sizes")
    if len(others) == len(shape):
        return shape
    size = exact_quotient(rest, product(others))
    if size is None:
        raise Unmodelled("a packed shape that does not divide what is left")
    return tuple(size if dim == -1 else dim for dim in shape)
