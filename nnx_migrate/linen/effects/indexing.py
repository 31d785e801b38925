"""`x[index]` by NumPy's rules, which JAX follows: basic and advanced indexing, and the sizes of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from zlib import crc32

from nnx_migrate.linen.arrays.leads import as_many
from nnx_migrate.linen.arrays.shapes import NO_RANK, Array, Global, Shape, Unmodelled, Value, broadcast
from nnx_migrate.linen.dims import Dim, at_least, ceil_div, maximum, minimum
from nnx_migrate.linen.effects.arguments import array_from, dim_of, is_integer, unmodelled


def index_array(array: Array, index: Value) -> Array:
    """`array[index]`. Raises Unmodelled."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [_as_item(item) for item in items]
    consumed = sum(item is not None and item is not Ellipsis for item in items)
    if array.shape.exact:
        return Array(_index(array.shape.dims, items, consumed), array.dtype)
    return Array(_index_unknown_rank(array.shape, items, consumed), array.dtype)


def _as_item(item: Value) -> Value:
    """An index item as int Dim, slice, None, Ellipsis or an integer Array."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, Global) and item.name.endswith(".newaxis"):
        return None
    if isinstance(item, Dim) or (isinstance(item, int) and not isinstance(item, bool)):
        return Dim.of(item)
    if isinstance(item, Array | list | Shape):
        found = array_from(item, "an index")
        if is_integer(found):
            return found
        if found.shape.rank == 1:  # numbers or truth values: both take rows of one axis
            return Array(Shape((Dim.unknown("how many rows an array selects"),)), "int")
        raise Unmodelled("an index array that may be boolean")
    raise unmodelled(item, "an index of unknown kind")


def _index_unknown_rank(shape: Shape, items: list[Value], consumed: int) -> Shape:
    """Indexing that leaves the end of the shape alone is exact; otherwise all ranks are tried and joined."""
    assert shape.lead is not None
    if Ellipsis in items and items.index(Ellipsis) == 0:
        behind = items[1:]
        if not any(isinstance(item, Array) for item in behind):
            front, tail = shape.before(consumed), _index(shape.last(consumed), behind, consumed)
            return Shape((*front.dims, *tail.dims), front.lead)
    # Beyond a certain rank, at least one hidden axis is left as it is, and what follows it is certain.
    least, most = max(len(shape.dims), consumed), len(shape.dims) + consumed + 1
    results = []
    for rank in range(least, most + 1):
        hidden = tuple(Dim.unknown(NO_RANK) for _ in range(rank - len(shape.dims)))
        results.append(_index((*hidden, *shape.dims), items, consumed))
    certain = takewhile(lambda dim: dim.known or dim.options, reversed(results[-1].dims))
    joined = Shape(tuple(certain)[::-1], "")
    for result in results[:-1]:
        joined = joined.join(result)
    return _counted(shape, items, joined)


def _counted(shape: Shape, items: list[Value], found: Shape) -> Shape:
    """What is found with a lead of as many axes as that of the array, where each index adds or takes one."""
    if Ellipsis in items or any(isinstance(item, Array) for item in items) or not shape.lead:
        return found
    taken = sum(isinstance(item, Dim) for item in items)
    count = len(shape.dims) + items.count(None) - taken
    if count < 0:
        return found
    unknown = tuple(Dim.unknown(NO_RANK) for _ in range(count - len(found.dims)))
    mark = f"{crc32(f'{shape} {items}'.encode()):08x}"
    return Shape(
        (*unknown, *found.dims[len(found.dims) - min(count, len(found.dims)) :]), as_many(shape.lead, mark)
    )


@dataclass
class _Result:
    """The axes of the result so far, with the place and shapes of the advanced indices."""

    dims: list[Dim] = field(default_factory=list)
    advanced: list[Shape] = field(default_factory=list)
    place: int | None = None
    separated: bool = False
    last_was_advanced: bool = False

    def add(self, dim: Dim) -> None:
        self.dims.append(dim)
        self.last_was_advanced = False

    def add_advanced(self, shape: Shape) -> None:
        if self.place is None:
            self.place = len(self.dims)
        elif not self.last_was_advanced:
            self.separated = True
        self.last_was_advanced = True
        self.advanced.append(shape)


def _index(dims: Sequence[Dim], items: list[Value], consumed: int) -> Shape:
    """The shape of `zeros(dims)[items]`."""
    if consumed > len(dims):
        raise Unmodelled(f"{consumed} indices for an array of rank {len(dims)}")
    if items.count(Ellipsis) > 1:
        raise Unmodelled("two ellipses in an index")
    if Ellipsis not in items:
        items = [*items, Ellipsis]
    any_arrays = any(isinstance(item, Array) for item in items)
    result, axis = _Result(), 0
    for item in items:
        if item is Ellipsis:
            skipped = len(dims) - consumed
            for dim in dims[axis : axis + skipped]:
                result.add(dim)
            # An ellipsis separates advanced indices even where it stands for no axis.
            result.last_was_advanced = False
            axis += skipped
        elif item is None:
            result.add(Dim.of(1))
        else:
            _consume(result, item, dims[axis], any_arrays)
            axis += 1
    if result.place is None:
        return Shape(tuple(result.dims))
    index_shape = broadcast(*result.advanced)
    at = 0 if result.separated else result.place
    return Shape((*result.dims[:at], *index_shape.items(), *result.dims[at:]))


def _consume(result: _Result, item: Value, dim: Dim, any_arrays: bool) -> None:
    """Account for an item that takes one axis of size `dim`."""
    if isinstance(item, slice):
        result.add(slice_size(dim, item))
    elif isinstance(item, Array):
        result.add_advanced(item.shape)
    elif any_arrays:
        # Beside an array, an integer counts as an array of rank 0.
        result.add_advanced(Shape())


# ---- slices ------------------------------------------------------------------------------------------------


def slice_size(dim: Dim, item: slice) -> Dim:
    """`len(range(dim)[item])`, an unknown dim where the bounds can't be ordered."""
    try:
        return _slice_size(dim, item)
    except Unmodelled as unmodelled_:
        return Dim.unknown(str(unmodelled_))


def _slice_size(dim: Dim, item: slice) -> Dim:
    if item.step is not None:
        step = dim_of(item.step, "a slice step").const
        if step == -1 and item.start is None and item.stop is None:
            return dim
        if step is None or step <= 0:
            raise Unmodelled("a slice with this step")
    else:
        step = 1
    if item.start is None and item.stop is None:
        return ceil_div(dim, step)
    start = Dim.of(0) if item.start is None else _bound(item.start, dim)
    stop = dim if item.stop is None else _bound(item.stop, dim)
    for bound in (dim, start, stop):
        if bound.reason is not None:
            return Dim.unknown(bound.reason)
    return ceil_div(maximum(stop - start, 0), step)


def _bound(value: Value, dim: Dim) -> Dim:
    """A slice bound, clipped to [0, dim]."""
    bound = dim_of(value, "a slice bound")
    if bound.reason is not None:
        return bound
    if at_least(bound, 0):
        return minimum(bound, dim)
    if at_least(-1, bound):
        return maximum(bound + dim, 0)
    raise Unmodelled(f"a slice bound of unknown sign: {bound.text()}")
