"""What a loop carries from round to round: symbols for sizes that change, the sizes before for those that don't."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import OpenTuple, TupleChoice, each_part
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.given.arguments import OptionalArray
from nnx_migrate.linen.interpreter.branches.control import join, size_name, static_join, wrapped
from nnx_migrate.linen.interpreter.convert import as_dim, input_array
from nnx_migrate.linen.interpreter.frame import Env, Frame, Slot
from nnx_migrate.linen.interpreter.lists.shared import uncounted
from nnx_migrate.linen.interpreter.loops.results import LastRound
from nnx_migrate.linen.interpreter.records import as_table, changed, parts_of_both, replaces_parts
from nnx_migrate.linen.interpreter.sizes.numbers import as_array
from nnx_migrate.linen.mixed_lists import MixedList, joined
from nnx_migrate.linen.sites import Phi
from nnx_migrate.linen.symbols import token
from nnx_migrate.linen.values import ArrayOrNumber, Input, Maybe, ModuleList, Record, VariableValue

_CARRIED = Array | ArrayOrNone | ArrayOrNumber | Dim | Input | Record


def carried_slot(frame: Frame, name: str, slot: Slot, statement: ast.AST) -> Slot:
    """The value at the top of a round, before anything is known: each size a symbol of its own."""
    value = slot.value
    if isinstance(value, Input):
        is_record = replaces_parts(statement, name)
        value = Record(value, ()) if is_record else input_array(frame.session, value)
    if isinstance(value, Array):
        dims = tuple(
            Dim.size(_carried_symbol(frame, statement, name, size_name(name, i), i))
            for i in range(-len(value.shape.dims), 0)
        )
        return Slot(Array(Shape(dims, value.shape.lead), value.dtype), slot.static)
    if isinstance(value, ArrayOrNone | ArrayOrNumber):
        array = carried_slot(frame, name, Slot(value.array), statement).value
        return Slot(replace(value, array=array), slot.static)
    if isinstance(value, ArrayList):
        return Slot(uncounted(value), slot.static, slot.maybe_unbound)
    if isinstance(value, Record):
        parts = {
            key: carried_slot(frame, f"{name}_{key}", Slot(item), statement).value
            for key, item in value.items
        }
        return Slot(changed(value, parts), slot.static)
    if isinstance(value, Dim | int) and not isinstance(value, bool):
        return Slot(Dim.symbol(_carried_symbol(frame, statement, name, name, 0)), slot.static)
    return slot


def next_header(
    frame: Frame,
    statement: ast.AST,
    entry: Env,
    header: Env,
    back: Env,
    assigned: list[str],
) -> tuple[Env, bool]:
    """A better guess of the variables at the top of a round; True where it differs from the last one."""
    new = dict(header)
    for name in assigned:
        if name not in header:
            continue
        old, end = header[name], back.get(name)
        if end is None or alike(end.value, old.value):
            continue
        new[name] = _next_slot(frame, statement, name, entry[name], old, end)
    # sizes that turned out not to change take their value from before the loop
    carried: dict[str, tuple[Dim, Dim]] = {}
    for name in assigned:
        if name not in new or not isinstance(back.get(name, Slot(None)).value, _CARRIED):
            continue
        carried.update(_carried_sizes(frame, statement, name, entry[name].value, back[name].value))
    settled = _settled(carried)
    if settled:
        new = {n: Slot(substitute(s.value, settled), s.static, s.maybe_unbound) for n, s in new.items()}
    return new, any(not _alike_slots(slot, header[name]) for name, slot in new.items())


def _next_slot(frame: Frame, statement: ast.AST, name: str, first: Slot, old: Slot, end: Slot) -> Slot:
    start, last = old.value, end.value
    both = parts_of_both(frame, start, last)
    if both is not None:
        origins = parts_of_both(frame, first.value, Record(as_table(start).base, ())) or {}
        parts = {
            key: _next_slot(
                frame,
                statement,
                f"{name}_{key}",
                Slot(origins.get(key, pair)[0]),
                Slot(pair[0]),
                Slot(pair[1]),
            ).value
            for key, pair in both.items()
        }
        return Slot(changed(start, parts), old.static and end.static)
    if isinstance(last, Input):
        last = input_array(frame.session, last)
    if any(isinstance(value, ArrayOrNone | ArrayOrNumber) for value in (start, last)):
        values = [as_array(value) for value in (first.value, start, last)]
        if all(isinstance(value, Array | Input) for value in values):
            array = _next_slot(frame, statement, name, *map(Slot, values)).value
            return Slot(wrapped(array, start, last) or array)
        if all(isinstance(value, Array) for value in values[1:]):
            one, other = values[1:]
            dtype = one.dtype if one.dtype == other.dtype else None
            array = Array(one.shape, dtype) if alike(one.shape, other.shape) else None
            return Slot(wrapped(array, start, last) or Unknown(f"`{name}` changes in a loop"))
    if isinstance(start, Array) and isinstance(last, Array):
        if len(start.shape.dims) == len(last.shape.dims) and start.shape.exact == last.shape.exact:
            dims = tuple(
                Dim.unknown(b.reason) if b.reason is not None else a
                for a, b in zip(start.shape.dims, last.shape.dims, strict=True)
            )
            lead = start.shape.lead if start.shape.lead == last.shape.lead else ""
            dtype = start.dtype if start.dtype == last.dtype else None
            return Slot(Array(Shape(dims, lead), dtype), old.static and end.static)
        common = min(len(start.shape.dims), len(last.shape.dims))
        if common and not (start.shape.exact and last.shape.exact):
            dims = start.shape.dims[-common:]
            return Slot(Array(Shape(dims, ""), None), False)
        return Slot(Unknown(f"the rank of `{name}` changes in a loop"))
    if as_dim(start) is not None and as_dim(last) is not None:
        if first.static and end.static:
            return Slot(static_join(frame, name, start, last, statement), True)
        number = as_dim(last)
        return old if number is not None and number.known else Slot(last)
    if isinstance(last, Maybe):
        last = last.value
    if isinstance(last, MixedList) and isinstance(start, list | ModuleList | MixedList):
        grown = isinstance(last.items[-1], ModuleList) and joined(start, last.items[-1]) == last
        return Slot(start if grown else Unknown("a list that a loop extends"), False)
    if isinstance(start, list) and isinstance(last, ModuleList):
        return Slot(start if not start else Unknown("a list that a loop extends"), False)
    if isinstance(start, list | ArrayList) and isinstance(last, list | ArrayList):
        return Slot(join(frame, start, last, statement, name), False)
    if first.static and end.static:
        return Slot(static_join(frame, name, start, last, statement), True)
    return Slot(join(frame, start, last, statement, name), old.static and end.static)


def _settled(carried: dict[str, tuple[Dim, Dim]]) -> dict[str, Dim]:
    """Carried symbols that keep their value: symbol text -> the size before the loop.

    If a round that starts with these sizes ends with them, they never change: the largest such set is found.
    """
    found = {symbol: before for symbol, (before, _) in carried.items()}
    while True:
        ends = {symbol: carried[symbol][1] for symbol in found}
        changing = [
            symbol
            for symbol, before in found.items()
            if not same(ends[symbol], Dim.symbol(symbol))
            and not same(ends[symbol].substitute(found.get), before)
        ]
        if not changing:
            return found
        for symbol in changing:
            del found[symbol]


def _carried_sizes(
    frame: Frame, statement: ast.AST, name: str, first: Any, last: Any
) -> dict[str, tuple[Dim, Dim]]:
    """The symbols of a variable, with its sizes before the loop and at the end of a round."""
    both = parts_of_both(frame, first, last)
    if both is not None:
        found: dict[str, tuple[Dim, Dim]] = {}
        for key, (before, after) in both.items():
            found.update(_carried_sizes(frame, statement, f"{name}_{key}", before, after))
        return found
    first, last = as_array(first), as_array(last)
    if isinstance(first, Input):
        first = input_array(frame.session, first)
    if isinstance(last, Input):
        last = input_array(frame.session, last)
    if isinstance(first, Array) and isinstance(last, Array):
        count = min(len(first.shape.dims), len(last.shape.dims))
        pairs = [(i, first.shape.dims[i], last.shape.dims[i]) for i in range(-count, 0)]
        names = {i: size_name(name, i) for i in range(-count, 0)}
    elif as_dim(first) is not None and as_dim(last) is not None:
        pairs = [(0, as_dim(first), as_dim(last))]  # type: ignore[list-item]
        names = {0: name}
    else:
        return {}
    return {
        token(names[index], "p", _phi_number(frame, statement, name, index)): (before, after)
        for index, before, after in pairs
    }


def _carried_symbol(frame: Frame, statement: ast.AST, name: str, label: str, index: int) -> str:
    found = token(label, "p", _phi_number(frame, statement, name, index))
    frame.session.loop_symbols.setdefault(id(statement), set()).add(found)
    return found


def _phi_number(frame: Frame, statement: ast.AST, name: str, index: int) -> int:
    return frame.session.number_of(("loop", id(statement), frame.context, name, index))


def close(
    frame: Frame, statement: ast.For | ast.While, entry: Env, header: Env, back: Env, iterable: Any
) -> dict[str, Dim]:
    """Record where each carried size that remains comes from, and what it is behind the loop."""
    results: dict[str, Dim] = {}
    last_round = LastRound(frame, statement, iterable)
    if last_round.counted and not frame.foreign:
        frame.session.facts.counted[frame.context, statement] = last_round.counted
    for name, slot in header.items():
        for number, label, first, last in _pairs(frame, statement, name, entry, slot, back):
            symbol = token(label, "p", number)
            result = last_round.result(first, last, symbol)
            results[symbol] = result
            if not frame.foreign:
                phi = Phi(number, label, statement, (first, last), True, result, frame.context)
                frame.session.facts.phis[number] = phi
    return results


def _pairs(frame: Frame, statement: ast.AST, name: str, entry: Env, slot: Slot, back: Env) -> Any:
    if name not in entry or name not in back:
        return
    yield from _pairs_of(frame, statement, name, entry[name].value, slot.value, back[name].value)


def _pairs_of(frame: Frame, statement: ast.AST, name: str, first: Any, top: Any, last: Any) -> Any:
    if isinstance(top, Record):
        for key, item in top.items:
            pair = (parts_of_both(frame, first, last) or {}).get(key)
            if pair is not None:
                yield from _pairs_of(frame, statement, f"{name}_{key}", pair[0], item, pair[1])
        return
    first, top, last = as_array(first), as_array(top), as_array(last)
    if isinstance(first, Input):
        first = input_array(frame.session, first)
    if isinstance(last, Input):
        last = input_array(frame.session, last)
    if isinstance(first, Array) and isinstance(top, Array) and isinstance(last, Array):
        count = min(len(first.shape.dims), len(top.shape.dims), len(last.shape.dims))
        rows = [(i, top.shape.dims[i], first.shape.dims[i], last.shape.dims[i]) for i in range(-count, 0)]
    elif all(as_dim(v) is not None for v in (first, top, last)):
        rows = [(0, as_dim(top), as_dim(first), as_dim(last))]  # type: ignore[list-item]
    else:
        return
    for index, here, before, after in rows:
        label = size_name(name, index) if isinstance(top, Array) else name
        number = _phi_number(frame, statement, name, index)
        if here == Dim.symbol(token(label, "p", number)):
            yield number, label, before, after


def _alike_slots(a: Slot, b: Slot) -> bool:
    return a == b or (a.static == b.static and a.maybe_unbound == b.maybe_unbound and alike(a.value, b.value))


def alike(a: Any, b: Any) -> bool:
    """Whether two values say the same; here, unlike for `==`, two unknown sizes do."""
    if isinstance(a, Dim) and isinstance(b, Dim):
        return a == b or not (a.known or b.known)
    if isinstance(a, Shape) and isinstance(b, Shape):
        return a.lead == b.lead and alike(a.dims, b.dims)
    if isinstance(a, Array) and isinstance(b, Array):
        return (a.dtype, a.weak) == (b.dtype, b.weak) and alike(a.shape, b.shape)
    if isinstance(a, tuple | list) and type(a) is type(b):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, ArrayList) and isinstance(b, ArrayList):
        return a.varying == b.varying and alike(a.element, b.element)
    if isinstance(a, Record) and isinstance(b, Record):
        return a.base == b.base and alike(dict(a.items), dict(b.items))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, ArrayOrNone | ArrayOrNumber) and type(a) is type(b):
        return getattr(a, "instead", None) == getattr(b, "instead", None) and alike(a.array, b.array)
    if isinstance(a, TupleChoice) and isinstance(b, TupleChoice):
        return alike(a.alternatives, b.alternatives)
    if isinstance(a, OpenTuple) and isinstance(b, OpenTuple):
        return alike(a.items, b.items)
    return bool(a == b) or (type(a) is type(b) is Unknown)


def substitute(value: Any, replacements: dict[str, Dim]) -> Any:
    """A value with symbols replaced."""
    if isinstance(value, Dim):
        return value.substitute(lambda text: replacements.get(text))
    if isinstance(value, OptionalArray) and value.has_own_sizes:
        return value
    if isinstance(value, Array):
        dims = tuple(d.substitute(lambda text: replacements.get(text)) for d in value.shape.dims)
        return Array(Shape(dims, value.shape.lead), value.dtype, value.weak)
    if isinstance(value, Shape):
        return Shape(tuple(d.substitute(lambda text: replacements.get(text)) for d in value.dims), value.lead)
    if isinstance(value, tuple | list):
        return type(value)(substitute(item, replacements) for item in value)
    if isinstance(value, dict):
        return {key: substitute(item, replacements) for key, item in value.items()}
    if isinstance(value, ArrayOrNone | ArrayOrNumber):
        return replace(value, array=substitute(value.array, replacements))
    if isinstance(value, TupleChoice | Record):
        return each_part(value, lambda item: substitute(item, replacements))
    if isinstance(value, VariableValue):
        return VariableValue(value.site, substitute(value.value, replacements))
    return value
