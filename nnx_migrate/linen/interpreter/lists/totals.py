"""How many arrays a list holds, and what their sizes add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import input_array
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.shared import changes
from nnx_migrate.linen.shapes import Array
from nnx_migrate.linen.values import ArrayList, Input


def with_one_more(frame: Frame, before: ArrayList, after: ArrayList, item: Any) -> ArrayList:
    """The list after `append` outside of loops."""
    array = array_of(frame, item)
    if before.count is None or array is None:
        return after
    sizes = {axis: lasting_size(array, axis) for axis, _ in before.totals}
    totals = [(axis, total + size) for axis, total in before.totals if (size := sizes[axis]) is not None]
    return replace(after, count=before.count + 1, totals=tuple(totals))


def counted(frame: Frame, value: Any) -> ArrayList | None:
    """A list of arrays that are known, or one with a count."""
    if isinstance(value, ArrayList):
        return value if value.count is not None else None
    arrays = [array_of(frame, item) for item in value] if isinstance(value, list) else [None]
    if None in arrays:
        return None
    found = [array for array in arrays if array is not None]
    rank = min((len(array.shape.dims) for array in found), default=0)
    sizes = {axis: [lasting_size(array, axis) for array in found] for axis in range(-rank, 0)}
    totals = {
        a: sum((s for s in row if s is not None), Dim.of(0)) for a, row in sizes.items() if None not in row
    }
    return ArrayList(None, frozenset(), Dim.of(len(found)), tuple(totals.items()))


def array_of(frame: Frame, value: Any) -> Array | None:
    """An array that an element of a list is."""
    array = input_array(frame.session, value) if isinstance(value, Input) else value
    return array if isinstance(array, Array) else None


def lasting_size(array: Array, axis: int) -> Dim | None:
    """A size that is the same in all rounds of loops."""
    size = array.shape.dim(axis)
    return size if size.known and not changes(size) else None
