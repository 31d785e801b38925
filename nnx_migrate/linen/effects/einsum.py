"""Einstein summation: subscripts in NumPy's notation, with ellipsis and implicit output."""

from __future__ import annotations

from collections.abc import Sequence

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value, broadcast, broadcast_dims
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import array_of, dtype_of, promote, str_of
from nnx_migrate.linen.effects.registry import models


def einsum_shape(subscripts: str, shapes: Sequence[Shape]) -> Shape:
    """The shape of the result. Raises Unmodelled where operands don't fit."""
    inputs, output = _parse(subscripts, len(shapes))
    sizes: dict[str, Dim] = {}
    leads: list[Shape] = []
    for labels, shape in zip(inputs, shapes, strict=True):
        _read_operand(labels, shape, sizes, leads)
    if output is None:
        counts = "".join(inputs).replace("...", "")
        output = "..." + "".join(sorted(label for label in set(counts) if counts.count(label) == 1))
    front, ellipsis, back = output.partition("...")
    if len(set(front + back)) != len(front + back) or not set(front + back) <= set(sizes):
        raise Unmodelled(f"einsum output {output!r}")
    middle = broadcast(*leads) if ellipsis and leads else Shape()
    head = Shape(tuple(sizes[label] for label in front))
    return head.concat(middle).concat(Shape(tuple(sizes[label] for label in back)))


def _parse(subscripts: str, count: int) -> tuple[list[str], str | None]:
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != count:
        raise Unmodelled(f"einsum {subscripts!r} with {count} operands")
    for part in [*inputs, right]:
        letters = part.replace("...", "", 1)
        if letters and not letters.isalnum():
            raise Unmodelled(f"einsum subscripts {subscripts!r}")
    return inputs, right if arrow else None


def _read_operand(labels: str, shape: Shape, sizes: dict[str, Dim], leads: list[Shape]) -> None:
    """Record the size of every label, and what the ellipsis stands for."""
    front, ellipsis, back = labels.partition("...")
    dims = shape.last(len(back))
    rest = shape.before(len(back))
    _record(back, dims, sizes)
    if ellipsis:
        if front:
            taken = rest.items()[: len(front)]
            if len(taken) < len(front):
                raise Unmodelled("einsum labels exceed the rank")
            _record(front, taken, sizes)
            rest = Shape(rest.dims[len(front) :])
        leads.append(rest)
        return
    if rest.exact:
        if len(rest.dims) != len(front):
            raise Unmodelled(f"einsum {labels!r} for rank {len(shape.dims)}")
        _record(front, rest.dims, sizes)
    else:
        # All axes have labels, so the rank is their number.
        full = rest.with_last(len(front))
        if len(full.dims) != len(front):
            raise Unmodelled(f"einsum {labels!r} for a larger rank")
        _record(front, full.dims, sizes)


def _record(labels: str, dims: Sequence[Dim], sizes: dict[str, Dim]) -> None:
    for label, dim in zip(labels, dims, strict=True):
        sizes[label] = broadcast_dims(sizes[label], dim) if label in sizes else dim


@models("jax.numpy.einsum", "numpy.einsum")
def einsum(
    subscripts: Value,
    /,
    *operands: Value,
    out: None = None,
    optimize: Value = "auto",
    precision: Value = None,
    preferred_element_type: Value = None,
    _dot_general: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Einstein summation."""
    if not isinstance(subscripts, str):
        raise Unmodelled("einsum in its alternating form")
    arrays = [array_of(operand) for operand in operands]
    shape = einsum_shape(str_of(subscripts, "subscripts"), [array.shape for array in arrays])
    dtype = promote(*arrays) if len(arrays) > 1 else arrays[0].dtype
    return Array(shape, dtype_of(preferred_element_type, None if dtype in ("bool", "int") else dtype))
