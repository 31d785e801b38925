"""Tuples whose length a condition decides: `(output, weights) if output_attentions else (output,)`.

What code reads of such a tuple tells which of the alternatives it can have got: an item that a shorter one lacks, or
as many items as names on the left of an assignment. For the others, that code fails. One of the alternatives may be an
object with named parts, as the models of `transformers` return one if they are asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.shapes import Array, Shape, Unknown
from nnx_migrate.linen.values import Expr, Input, Record

_MOST = 16
_OUT_OF_RANGE = "an index out of range"
_PLAIN = (Array, Input, Shape, Dim, Expr, Unknown, bool, int, float, str, type(None))


@dataclass(frozen=True)
class TupleChoice(Unknown):
    """One of several tuples, which differ in length, or objects."""

    alternatives: tuple[tuple[Any, ...] | Record, ...] = ()


def tuple_choice(values: Iterable[Any], reason: str) -> Any:
    """One of these tuples and objects, or of those that a choice among them stands for; None where that isn't all."""
    found: dict[Any, None] = {}
    for value in values:
        if isinstance(value, tuple | Record):
            found[_plain(value, reason)] = None
        elif isinstance(value, TupleChoice):
            found.update(dict.fromkeys(value.alternatives))
        else:
            return None
    if len(found) == 1:
        return next(iter(found))
    return TupleChoice(reason, tuple(found)) if len(found) <= _MOST else None


def given_ones(items: Iterable[Any] | TupleChoice, reason: str) -> Any:
    """The tuple of those among some values that aren't None; None where it can't be told which these are."""
    if isinstance(items, TupleChoice):
        choices = [given_ones(one, reason) for one in items.alternatives if isinstance(one, tuple)]
        return tuple_choice(choices, reason) if len(choices) == len(items.alternatives) else None
    found: list[tuple[Any, ...]] = [()]
    for item in items:
        if item is None:
            continue
        surely = isinstance(item, Array | Shape | Dim | tuple | int | float | str)
        found = [(*one, item) for one in found] + ([] if surely else found)
        if len(found) > _MOST:
            return None
    return tuple_choice(found, reason)


def each(value: TupleChoice, change: Callable[[Any], Any]) -> Any:
    """The choice among what `change` makes of each alternative; unknown where that is anything else."""
    changed = [change(one) for one in value.alternatives]
    return tuple_choice(changed, value.reason) or Unknown(value.reason)


def each_part(value: TupleChoice | Record, change: Callable[[Any], Any]) -> Any:
    """What `change` makes of all parts of an object or of the alternatives."""
    if isinstance(value, Record):
        return replace(value, items=tuple((name, change(item)) for name, item in value.items))
    return each(
        value,
        lambda one: (
            each_part(one, change) if isinstance(one, Record) else tuple(change(item) for item in one)
        ),
    )


def item_of(value: TupleChoice | Record, index: int) -> Any:
    """The item at a place, of those that have one there."""
    if isinstance(value, Record):
        inside = index < len(value.order) if index >= 0 else value.complete and -index <= len(value.order)
        if inside:
            return dict(value.items).get(value.order[index], Unknown("a part of an object that isn't given"))
        return Unknown(_OUT_OF_RANGE if value.complete else "a part of an object by its position")
    found: list[Any] = []
    for one in value.alternatives:
        if isinstance(one, Record):
            found.append(item_of(one, index))
        elif -len(one) <= index < len(one):
            found.append(one[index])
    return _one_of([item for item in found if item != Unknown(_OUT_OF_RANGE)], value.reason)


def part_of_choice(value: TupleChoice, name: str) -> Any:
    """`value.name`: one of the objects, as tuples have no such attribute."""
    found = [dict(one.items).get(name) for one in value.alternatives if isinstance(one, Record)]
    return Unknown(value.reason) if None in found else _one_of(found, value.reason)


def of_length(value: TupleChoice | Record, count: int, *, or_more: bool = False) -> tuple[Any, ...] | None:
    """What is known of the items if there are `count` of them (`or_more`, then all of the same length)."""
    fitting: list[tuple[Any, ...]] = []
    for one in value.alternatives if isinstance(value, TupleChoice) else (value,):
        items = _items(one) if isinstance(one, Record) else one
        if items is None:
            return None
        if len(items) == count or (or_more and len(items) > count):
            fitting.append(items)
    if not fitting or any(len(items) != len(fitting[0]) for items in fitting):
        return None
    return tuple(_one_of(list(items), _reason(value)) for items in zip(*fitting, strict=True))


def _reason(value: TupleChoice | Record) -> str:
    """Why a part isn't known in which the alternatives differ."""
    return value.reason if isinstance(value, TupleChoice) else "a part of an object"


def _items(value: Record) -> tuple[Any, ...] | None:
    """The parts of an object in their order, None where there may be others."""
    return (
        tuple(dict(value.items).get(name, Unknown("a part")) for name in value.order)
        if value.complete
        else None
    )


def concatenated(left: Any, right: Any, reason: str) -> Any:
    """`left + right`, where one of the two is such a choice."""
    sides: list[list[tuple[Any, ...]]] = []
    for side in (left, right):
        alternatives = side.alternatives if isinstance(side, TupleChoice) else (side,)
        sides.append([one for one in alternatives if isinstance(one, tuple)])
        if len(sides[-1]) < len(alternatives):
            return Unknown(reason)
    return tuple_choice([(*a, *b) for a in sides[0] for b in sides[1]], reason) or Unknown(reason)


def _plain(value: Any, reason: str) -> Any:
    """Without modules, lists and other things whose changes would have to be followed."""
    if isinstance(value, Record):
        return each_part(value, lambda item: _plain(item, reason))
    if type(value) is tuple:
        return tuple(_plain(item, reason) for item in value)
    return value if isinstance(value, _PLAIN) else Unknown(reason)


def _one_of(values: list[Any], reason: str) -> Any:
    if not values:
        return Unknown(_OUT_OF_RANGE)
    joined = values[0]
    for value in values[1:]:
        if value == joined:
            continue
        if not (isinstance(value, Array) and isinstance(joined, Array)):
            return Unknown(reason)
        joined = joined.or_else(value, lambda a, b: Dim.unknown(a.reason or b.reason or reason))
        if joined is None:
            return Unknown(reason)
    return joined
