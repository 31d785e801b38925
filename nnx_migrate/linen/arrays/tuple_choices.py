"""Tuples whose length a condition decides: `(output, weights) if output_attentions else (output,)`.

What code reads of such a tuple tells which of the alternatives it can have got: an item that a shorter one lacks, or
as many items as names on the left of an assignment. For the others, that code fails. One of the alternatives may be an
object with named parts, as the models of `transformers` return one if they are asked for it; or a tuple of which only
the first items are known, such as what code cuts out of such an object: `(hidden, pooled) + outputs[1:]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone, instead_of_arrays, present
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.values import Expr, Input, Record

_MOST = 16
_OUT_OF_RANGE = "an index out of range"
_PLAIN = (Array, Input, Shape, Dim, Expr, Unknown, bool, int, float, str, type(None))


@dataclass(frozen=True)
class OpenTuple:
    """A tuple that begins with `items`; whether there are more isn't known. It is always part of a choice."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class TupleOrNone(Unknown):
    """A tuple on one path, None on another: `all_hidden_states = () if output_hidden_states else None`."""


@dataclass(frozen=True)
class TupleChoice(Unknown):
    """One of several tuples, which differ in length, or objects."""

    alternatives: tuple[tuple[Any, ...] | Record | OpenTuple, ...] = ()


def tuple_choice(values: Iterable[Any], reason: str) -> Any:
    """One of these tuples and objects, or of those that a choice among them stands for; None where that isn't all."""
    found: dict[Any, None] = {}
    for value in values:
        if isinstance(value, tuple | Record | OpenTuple):
            found[plain_value(value, reason)] = None
        elif isinstance(value, TupleChoice):
            found.update(dict.fromkeys(value.alternatives))
        else:
            return None
    if len(found) == 1 and not isinstance(value := next(iter(found)), OpenTuple):
        return value
    for length in (3, 2, 1, 0):
        if len(found) > _MOST:
            found = dict.fromkeys(_beginning(one, length) for one in found)
    return TupleChoice(reason, tuple(found)) if 0 < len(found) <= _MOST else None


def _beginning(value: Any, length: int) -> Any:
    """The first items of a tuple, where there are too many to tell apart."""
    items = value.items if isinstance(value, OpenTuple) else value
    return value if isinstance(value, Record) or len(items) <= length else OpenTuple(items[:length])


def tuple_or_none(a: Any, b: Any, reason: str) -> TupleOrNone | None:
    """What holds the one or the other, if one of two values is a tuple and one None, or may be either."""
    kinds = {_kind(a), _kind(b)}
    fits = kinds <= {"tuple", "none", "either"} and kinds not in ({"none"}, {"tuple"})
    return TupleOrNone(reason) if fits else None


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, TupleOrNone):
        return "either"
    if isinstance(value, TupleChoice):
        value = value.alternatives[0] if not any(isinstance(v, Record) for v in value.alternatives) else None
    return "tuple" if isinstance(value, tuple | OpenTuple) else ""


def given_ones(items: Iterable[Any] | TupleChoice, reason: str) -> Any:
    """The tuple of those among some values that aren't None; None for an object."""
    if isinstance(items, TupleChoice):
        choices: list[Any] = []
        for one in items.alternatives:
            if isinstance(one, Record):
                return None
            given = given_ones(one.items if isinstance(one, OpenTuple) else one, reason)
            choices += _opened(given) if isinstance(one, OpenTuple) else [given]
        return tuple_choice(choices, reason)
    found: list[tuple[Any, ...]] = [()]
    many: list[OpenTuple] = []  # those of which only the beginning is told apart
    for item in items:
        if item is None:
            continue
        surely = isinstance(item, Array | Shape | Dim | tuple | int | float | str)
        there = TupleChoice(reason, (OpenTuple(()),)) if isinstance(item, TupleOrNone) else present(item)
        found = [(*one, there) for one in found] + ([] if surely else found)
        if len(found) > _MOST // 2:
            many += [OpenTuple(one[:2]) for one in found if len(one) > 1]
            found = list(dict.fromkeys(one for one in found if len(one) < 2))
    return tuple_choice([*many, *found], reason)


def _opened(given: Any) -> list[Any]:
    """Tuples of which it isn't known whether there is more."""
    return [OpenTuple(one) if isinstance(one, tuple) else one for one in _ways(given)]


def _ways(value: Any) -> list[Any]:
    """What a value can be."""
    return list(value.alternatives) if isinstance(value, TupleChoice) else [value]


def each(value: TupleChoice, change: Callable[[Any], Any]) -> Any:
    """The choice among what `change` makes of each alternative; unknown where that is anything else."""
    changed = tuple_choice([change(one) for one in value.alternatives], value.reason)
    return Unknown(value.reason) if changed is None else changed


def each_part(value: TupleChoice | Record, change: Callable[[Any], Any]) -> Any:
    """What `change` makes of all parts of an object or of the alternatives."""
    if isinstance(value, Record):
        return replace(value, items=tuple((name, change(item)) for name, item in value.items))
    return each(value, lambda one: _each_item(one, change))


def _each_item(one: tuple[Any, ...] | Record | OpenTuple, change: Callable[[Any], Any]) -> Any:
    if isinstance(one, Record):
        return each_part(one, change)
    if isinstance(one, OpenTuple):
        return OpenTuple(tuple(change(item) for item in one.items))
    return tuple(change(item) for item in one)


def sliced(value: TupleChoice | Record, index: slice) -> Any:
    """`value[start:stop]`."""
    whole = tuple_choice(_as_tuples(value), _reason(value))
    if isinstance(whole, TupleChoice):
        return each(whole, lambda one: _slice(one, index))
    found = _slice(whole, index) if isinstance(whole, tuple) else None
    return Unknown(_reason(value)) if found is None else found


def _as_tuples(value: TupleChoice | Record) -> list[Any]:
    """The alternatives, outputs of `transformers` as the tuples of what isn't None in them."""
    found: list[Any] = []
    for one in _ways(value):
        items = _items(one) if isinstance(one, Record) else one
        if items is None and isinstance(one, Record) and one.order:
            parts = dict(one.items)
            given = given_ones([parts.get(name, Unknown("a part")) for name in one.order], _reason(one))
            found += _ways(given) if len(parts) == len(one.order) else _opened(given)
        else:
            found.append(one if items is None else items)
    return found


def _slice(value: tuple[Any, ...] | Record | OpenTuple, index: slice) -> tuple[Any, ...] | OpenTuple | None:
    """A part of one of the alternatives; None for an object."""
    if isinstance(value, Record):
        return None
    if not all(bound is None or isinstance(bound, int) for bound in (index.start, index.stop, index.step)):
        return OpenTuple(())
    if isinstance(value, tuple):
        return value[index]
    if index.step is not None or (index.start or 0) < 0:
        return OpenTuple(())
    if index.stop is None:
        return OpenTuple(value.items[index])
    return value.items[index] if 0 <= index.stop <= len(value.items) else OpenTuple(())


def item_of(value: TupleChoice | Record, index: int) -> Any:
    """The item at a place, of those that have one there."""
    found: list[Any] = []
    for one in _as_tuples(value):
        if isinstance(one, Record):
            found.append(Unknown("a part of an object by its position"))
        elif isinstance(one, OpenTuple):
            is_known = 0 <= index < len(one.items)
            found.append(one.items[index] if is_known else Unknown("an item that a tuple may lack"))
        elif -len(one) <= index < len(one):
            found.append(one[index])
    return _one_of(found, _reason(value))


def part_of_choice(value: TupleChoice, name: str) -> Any:
    """`value.name`: one of the objects, as tuples have no such attribute."""
    found = [dict(one.items).get(name) for one in value.alternatives if isinstance(one, Record)]
    return Unknown(value.reason) if None in found else _one_of(found, value.reason)


def of_length(value: TupleChoice | Record, count: int, *, or_more: bool = False) -> tuple[Any, ...] | None:
    """What is known of the items if there are `count` of them (`or_more`, then all of the same length)."""
    fitting: list[tuple[Any, ...]] = []
    for one in _ways(value):
        if isinstance(one, OpenTuple):
            missing = max(count - len(one.items), 0)
            items = None if or_more else (*one.items, *[Unknown("an item that a tuple may lack")] * missing)
        else:
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
    """`left + right`, where one of the two is such a choice. The outputs of `transformers` can't be added to tuples."""
    sides: list[list[tuple[Any, ...] | OpenTuple]] = []
    for side in (left, right):
        sides.append([])
        for one in [OpenTuple(())] if isinstance(side, TupleOrNone) else _ways(side):
            items = _items(one) if isinstance(one, Record) else one
            if isinstance(items, tuple | OpenTuple):
                sides[-1].append(items)
            elif not (isinstance(one, Record) and one.base is None and one.order):
                return Unknown(reason)
    found = tuple_choice([_joined(a, b) for a in sides[0] for b in sides[1]], reason)
    return Unknown(reason) if found is None else found


def _joined(
    left: tuple[Any, ...] | OpenTuple, right: tuple[Any, ...] | OpenTuple
) -> tuple[Any, ...] | OpenTuple:
    if isinstance(left, OpenTuple):
        return left
    return OpenTuple((*left, *right.items)) if isinstance(right, OpenTuple) else (*left, *right)


def plain_value(value: Any, reason: str) -> Any:
    """Without modules, lists and other things whose changes would have to be followed."""
    if isinstance(value, Record):
        return each_part(value, lambda item: plain_value(item, reason))
    if isinstance(value, OpenTuple):
        return OpenTuple(plain_value(value.items, reason))
    if type(value) is tuple:
        return tuple(plain_value(item, reason) for item in value)
    return value if isinstance(value, _PLAIN) else Unknown(reason)


def _one_of(values: list[Any], reason: str) -> Any:
    if not values:
        return Unknown(_OUT_OF_RANGE)
    first, *others = values
    if all(value == first for value in others):
        return first
    kinds = {_kind(value) for value in values if not isinstance(present(value), Array)}
    arrays = [present(value) for value in values if isinstance(present(value), Array)]
    instead = instead_of_arrays(*values)
    instead |= {"tuple"} if kinds & {"tuple", "either"} else instead
    instead |= {"None"} if "either" in kinds else instead
    if not arrays and kinds <= {"tuple", "either", "none"}:
        return TupleChoice(reason, (OpenTuple(()),)) if kinds == {"tuple"} else TupleOrNone(reason)
    if not arrays or "" in kinds or (instead and any(type(array) is not Array for array in arrays)):
        return Unknown(reason)
    joined = arrays[0]
    for array in arrays[1:]:
        if array != joined:
            joined = joined.or_else(array, lambda a, b: Dim.unknown(a.reason or b.reason or reason))
        if joined is None:
            return Unknown(reason)
    return ArrayOrNone(reason, joined, instead) if instead else joined
