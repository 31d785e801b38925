"""How many arrays a list holds, and what their sizes add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.convert import input_array
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.shared import changes
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Input


def with_one_more(frame: Frame, before: ArrayList, after: ArrayList, item: Any) -> ArrayList:
    """The list after `append` outside of loops."""
    array = array_of(frame, item)
    if before.count is None or array is None:
        return after
    sizes = {axis: _size(frame, array, axis) for axis, _ in before.totals}
    totals = [(axis, total + size) for axis, total in before.totals if (size := sizes[axis]) is not None]
    agreed = dict(before.agreed)
    for axis in range(-len(array.shape.dims), 0):
        size = _size(frame, array, axis)
        if size is not None:
            agreed.setdefault(axis, size)
    count = before.count + 1
    return replace(after, count=count, totals=tuple(totals), agreed=tuple(agreed.items()))


def of_either(
    frame: Frame, a: Any, b: Any, both: ArrayList, size: Callable[[int, Dim, Dim], Dim]
) -> ArrayList:
    """The list behind two paths, of which one may have filled it further; `size` tells what differing sizes are."""
    first, second = counted(frame, a), counted(frame, b)
    if first is None or second is None or first.count is None or second.count is None:
        return both
    pairs = _in_both(first.totals, second.totals)
    totals = {axis: x if same(x, y) else size(axis, x, y) for axis, x, y in pairs}
    agreed = {axis: x for axis, x, y in _in_both(first.agreed, second.agreed) if same(x, y)}
    count = first.count if same(first.count, second.count) else Dim.unknown("the length of a list")
    known = tuple((axis, total) for axis, total in totals.items() if total.known)
    return replace(both, count=count, totals=known, agreed=tuple(agreed.items()))


def _in_both(
    first: Sequence[tuple[int, Dim]], second: Sequence[tuple[int, Dim]]
) -> list[tuple[int, Dim, Dim]]:
    others = dict(second)
    return [(axis, size, others[axis]) for axis, size in first if axis in others]


def counted(frame: Frame, value: Any) -> ArrayList | None:
    """A list of arrays that are known, or one with a count."""
    if isinstance(value, ArrayList):
        return value if value.count is not None else None
    arrays = [array_of(frame, item) for item in value] if isinstance(value, list) else [None]
    if None in arrays:
        return None
    found = [array for array in arrays if array is not None]
    rank = min((len(array.shape.dims) for array in found), default=0)
    sizes = {axis: [_size(frame, array, axis) for array in found] for axis in range(-rank, 0)}
    totals = {
        a: sum((s for s in row if s is not None), Dim.of(0)) for a, row in sizes.items() if None not in row
    }
    known = {axis: [size for size in row if size is not None] for axis, row in sizes.items()}
    agreed = tuple((axis, row[0]) for axis, row in known.items() if row)
    return ArrayList(None, frozenset(), Dim.of(len(found)), tuple(totals.items()), agreed)


def array_of(frame: Frame, value: Any) -> Array | None:
    """An array that an element of a list is."""
    array = input_array(frame.session, value) if isinstance(value, Input) else value
    return array if isinstance(array, Array) else None


def lasting_size(array: Array, axis: int) -> Dim | None:
    """A size that is the same in all rounds of loops."""
    size = array.shape.dim(axis)
    return size if size.known and not changes(size) else None


def _size(frame: Frame, array: Array, axis: int) -> Dim | None:
    """A size that stays as it is: outside of loops, that which either of two paths has left does."""
    size = array.shape.dim(axis)
    kinds = {match["kind"] for text in size.symbols() for match in TOKEN.finditer(text)}
    in_loop = any(control.is_loop for control in frame.controls)
    return size if size.known and kinds.isdisjoint("lps" if in_loop else "ls") else None
