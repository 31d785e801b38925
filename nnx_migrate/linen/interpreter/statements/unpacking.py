"""Unpacking: the values that the targets of `a, *b = value` get."""

from __future__ import annotations

from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, of_length
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter import attributes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.elements import ManyOf
from nnx_migrate.linen.interpreter.ranks.patterns import rank_needed
from nnx_migrate.linen.interpreter.records import is_tuple
from nnx_migrate.linen.values import Expr, Input, ModuleList, Record, VariableValue


def unpacked(frame: Frame, value: Any, count: int, starred: int | None) -> list[Any]:
    """The values that `count` targets get; `starred` is the index of a `*rest` among them."""
    if isinstance(value, Shape):
        if starred is None:
            rank_needed(frame, value, count)
            dims = value.with_last(count).dims if value.lead is not None else value.dims
            if len(dims) == count:
                return list(dims)
        else:
            return _items_of_shape(value, count, starred)
    if isinstance(value, VariableValue):
        value = value.value
    if isinstance(value, Array) and value.shape.rank:
        rest = value.with_shape(Shape(value.shape.dims[1:]))
        return [rest] * count if starred is None else [Unknown("part of an array")] * count
    if isinstance(value, TupleChoice | Record):
        fitting = of_length(value, count if starred is None else count - 1, or_more=starred is not None)
        value = value if fitting is None else fitting
    if isinstance(value, tuple | list):
        if starred is None and len(value) == count:
            return list(value)
        if starred is not None and len(value) >= count - 1:
            behind = count - starred - 1
            middle = list(value[starred : len(value) - behind])
            return [*value[:starred], middle, *value[len(value) - behind :]]
    if isinstance(value, Input) and starred is None:
        is_tuple(frame, value)
        return [attributes.seen(frame, Input((*value.path, i))) for i in range(count)]
    if isinstance(value, Expr) and starred is None:
        return [Expr(f"{value.text}[{i}]") for i in range(count)]
    if isinstance(value, Expr) and value.kind == "sequence" and starred is not None:
        ends = [Expr(f"{value.text}[{i if i < starred else i - count}]") for i in range(count)]
        return [*ends[:starred], Unknown("part of a sequence"), *ends[starred + 1 :]]
    if isinstance(value, ManyOf) and starred is None:
        return [value.element] * count
    if isinstance(value, ModuleList):
        return [value.element] * count if starred is None else [Unknown("modules")] * count
    reason = value.reason if isinstance(value, Unknown) else "a value that can't be unpacked"
    return [Unknown(reason)] * count


def _items_of_shape(shape: Shape, count: int, starred: int) -> list[Any]:
    behind = count - starred - 1
    if shape.exact and len(shape.dims) < count - 1:
        return [Unknown("a shape with fewer axes than names")] * count
    if shape.exact:
        dims = list(shape.dims)
        middle = Shape(tuple(dims[starred : len(dims) - behind]))
        return [*dims[:starred], middle, *dims[len(dims) - behind :]]
    unknown: list[Any] = [Dim.unknown("an axis of unknown position")] * starred
    full = shape.with_last(behind)
    return [*unknown, full.before(behind) if not starred else Shape((), ""), *full.last(behind)]
