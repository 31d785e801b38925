"""Loops and comprehensions: sizes that a loop carries, variables that it binds, modules that it creates.

A loop body is interpreted as often as its sizes need to become stable. Sizes that change from round to round
become symbols of their own (`Phi`): their value at the top of a round, which is also the value after the
loop.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter import attributes
from nnx_migrate.linen.interpreter.control import branch, join, join_envs, size_name, static_join
from nnx_migrate.linen.interpreter.convert import as_dim, input_array
from nnx_migrate.linen.interpreter.frame import Env, Frame, Slot
from nnx_migrate.linen.interpreter.loop_results import LastRound, loop_variable, outside
from nnx_migrate.linen.interpreter.stale import forget_in, token_of
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Shape, Unknown
from nnx_migrate.linen.sites import LoopVariable, Phi, Site
from nnx_migrate.linen.symbols import token
from nnx_migrate.linen.values import Expr, Input, Instance, Iterated, Maybe, ModuleList, VariableValue

_ROUNDS = 6
_MAX_UNROLL = 64


def for_loop(frame: Frame, statement: ast.For) -> None:
    """`for target in iterable: body`."""
    from nnx_migrate.linen.interpreter.expressions import evaluate

    iterable = evaluate(frame, statement.iter)
    static = is_static(frame, statement.iter)
    items = _unrollable(frame, iterable)
    if items is not None:
        _unroll(frame, statement, items)
        return
    _loop(
        frame, statement, lambda: bind_target(frame, statement.target, iterable, static, statement), iterable
    )


def _unrollable(frame: Frame, iterable: Any) -> list[Any] | None:
    """The elements of an iterable where each round can be interpreted on its own.

    That is so in code of other modules, of which only the result matters, where the rounds take one submodule
    each of several, and where there is no round at all.
    """
    items = known_items(iterable)
    if items is None or len(items) > _MAX_UNROLL:
        return None
    return items if frame.foreign or not items or _takes_modules(items) else None


def _takes_modules(items: list[Any]) -> bool:
    """Whether submodules that are known one by one are among the items of a loop."""
    return bool(_sites_in(items))


def _sites_in(value: Any) -> list[Site]:
    if isinstance(value, tuple | list):
        return [site for item in value for site in _sites_in(item)]
    return [value.site] if isinstance(value, Instance) else []


def known_items(iterable: Any) -> list[Any] | None:
    """The elements of an iterable, None where they aren't known one by one."""
    if isinstance(iterable, OneOf | tuple | list):
        return list(iterable)
    if isinstance(iterable, dict):
        return list(iterable)
    if not isinstance(iterable, Iterated):
        return None
    if iterable.kind == "range":
        bounds = [as_dim(arg) for arg in iterable.args]
        numbers = [b.const for b in bounds if b is not None]
        if len(numbers) < len(bounds) or None in numbers:
            return None
        counts = range(*(n for n in numbers if n is not None))
        return list(counts) if len(counts) <= _MAX_UNROLL else None
    if iterable.kind in ("items", "keys", "values") and isinstance(iterable.args[0], dict):
        return list(getattr(iterable.args[0], iterable.kind)())
    columns = [known_items(arg) for arg in iterable.args]
    if iterable.kind == "zip":
        known = [column for column in columns if column is not None]
        return list(zip(*known, strict=False)) if len(known) == len(columns) else None
    if not columns or columns[0] is None:
        return None
    if iterable.kind == "enumerate":
        start = as_dim(iterable.args[1]) if len(iterable.args) > 1 else Dim.of(0)
        return (
            list(enumerate(columns[0], start.const))
            if start is not None and start.const is not None
            else None
        )
    return list(reversed(columns[0])) if iterable.kind == "reversed" else columns[0]


def _unroll(frame: Frame, statement: ast.For, items: list[Any]) -> None:
    from nnx_migrate.linen.interpreter.statements import assign, execute

    outer = frame.context
    for index, item in enumerate(items):
        frame.context = (*outer, _round_marker(frame, statement, index))
        nameless = [site for site in _sites_in(item) if not site.stored]
        assign(frame, statement.target, item, False, statement)
        for site in nameless:  # the loop's variable is no name for one of them
            site.stored = ""
        before = frame.jumps
        frame.jumps = []
        execute(frame, statement.body)
        _refuse_created(frame, statement)
        jumps, frame.jumps = frame.jumps, before
        frame.context = outer
        if jumps:
            if len(jumps) > 1 or not frame.ended:
                frame.env = {name: Slot(Unknown("a loop with several exits")) for name in frame.env}
            frame.ended = False
            if isinstance(jumps[-1][0], ast.Break):
                return
        if frame.ended:
            return
    execute(frame, statement.orelse)


def _refuse_created(frame: Frame, statement: ast.For) -> None:
    """Modules that a round over other modules creates have no place in the constructor."""
    facts = frame.session.facts
    created = [*facts.sites, *facts.variables] if not frame.foreign else []
    for context, _ in created:
        if context[: len(frame.context)] == frame.context:
            raise Refuse("unsupported-syntax", "modules are created in a loop over other modules", statement)


def while_loop(frame: Frame, statement: ast.While) -> None:
    """`while test: body`."""
    from nnx_migrate.linen.interpreter.expressions import evaluate

    _loop(frame, statement, lambda: evaluate(frame, statement.test) and None, None)


def _loop(frame: Frame, statement: ast.For | ast.While, bind: Any, iterable: Any) -> None:
    entry = dict(frame.env)
    attributes_entry = dict(frame.session.attributes)
    header: Env = dict(entry)
    assigned = _assigned(statement)
    invariant: set[tuple[str, int]] = set()
    recording = frame.session.recording
    controls = frame.controls
    for name in assigned:
        if name in header:
            header[name] = _carried(frame, name, entry[name], statement)
            token_before = token_of(name, entry[name].value)
            if token_before is not None:
                others = {n: slot for n, slot in header.items() if n not in assigned}
                forget_in(others, name, token_before)
                header.update(others)
    for _round_number in range(_ROUNDS):
        frame.session.recording = False
        back = _round(frame, statement, header, bind, probing=True)
        new_header, changed = _next_header(frame, statement, entry, header, back, assigned, invariant)
        header = new_header
        if not changed:
            break
    else:
        for name in assigned:
            if name in header and header[name] != entry[name]:
                header[name] = Slot(Unknown(f"`{name}` changes in a loop in a way that can't be followed"))
    frame.session.recording = recording
    frame.session.attributes = attributes_entry
    returned = len(frame.returns)
    back = _round(frame, statement, header, bind)
    results = _close(frame, statement, entry, header, back, iterable)
    runs = _surely_runs(iterable)
    exits = [env for jump, env in frame.jumps if isinstance(jump, ast.Break)]
    frame.jumps = []
    after = {n: s for n, s in back.items() if n not in header}
    filled = {n: back[n] for n in assigned if n in entry and _is_filled(back[n].value)}
    frame.env = {**header, **filled}
    frame.env.update({n: Slot(s.value, s.static, maybe_unbound=not runs) for n, s in after.items()})
    for env in exits:
        frame.env = join_envs(frame, frame.env, env, statement)
    if frame.foreign:
        _leave(frame, LastRound(frame, statement, iterable), results, returned)
    frame.ended = False
    frame.controls = controls
    if statement.orelse:
        from nnx_migrate.linen.interpreter.statements import execute

        execute(frame, statement.orelse)


def _is_filled(value: Any) -> bool:
    """Whether a list has got modules in a loop, on every path or on some."""
    return isinstance(value, ModuleList) or (isinstance(value, Maybe) and isinstance(value.value, ModuleList))


def _leave(frame: Frame, loop: LastRound, results: dict[str, Dim], returned: int) -> None:
    """Behind a loop of another module: its symbols mean nothing there."""
    for env in (frame.env, frame.session.attributes):
        for name, slot in env.items():
            env[name] = Slot(outside(slot.value, loop, results), slot.static, slot.maybe_unbound)
    for index in range(returned, len(frame.returns)):
        value, node = frame.returns[index]
        frame.returns[index] = (outside(value, loop, {}), node)


def _round(
    frame: Frame, statement: ast.For | ast.While, header: Env, bind: Any, probing: bool = False
) -> Env:
    """The variables at the end of one round that starts with those of `header`."""
    from nnx_migrate.linen.interpreter.statements import execute

    frame.env, frame.ended = dict(header), False
    outer_jumps, frame.jumps = frame.jumps, []
    saved = frame.controls
    returns = len(frame.returns)
    with frame.under(branch(statement, "loop")):
        bind()
        execute(frame, statement.body)
    if probing:
        del frame.returns[returns:]
    env = frame.env
    continued = [e for jump, e in frame.jumps if isinstance(jump, ast.Continue)]
    if frame.ended and continued:
        env = continued.pop()
    for other in continued:
        env = join_envs(frame, env, other, statement)
    frame.jumps = outer_jumps + [(j, e) for j, e in frame.jumps if isinstance(j, ast.Break)]
    if probing:
        frame.jumps = outer_jumps
    frame.ended = False
    frame.controls = saved
    return env


def _assigned(statement: ast.For | ast.While) -> list[str]:
    """Names that the body (or the target) may bind or change in place."""
    names: dict[str, None] = {}
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        elif isinstance(node, ast.FunctionDef):
            names[node.name] = None
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.attr in ("append", "extend", "insert", "update", "pop")
        ):
            names[node.func.value.id] = None
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
        ):
            names[node.value.id] = None
    return list(names)


def _carried_symbol(frame: Frame, statement: ast.AST, name: str, label: str, index: int) -> str:
    found = token(label, "p", _phi_number(frame, statement, name, index))
    frame.session.loop_symbols.setdefault(id(statement), set()).add(found)
    return found


def _phi_number(frame: Frame, statement: ast.AST, name: str, index: int) -> int:
    return frame.session.number_of(("loop", id(statement), frame.context, name, index))


def _carried(frame: Frame, name: str, slot: Slot, statement: ast.AST) -> Slot:
    """The value at the top of a round, before anything is known: each size a symbol of its own."""
    value = slot.value
    if isinstance(value, Input):
        value = input_array(frame.session, value)
    if isinstance(value, Array):
        dims = tuple(
            Dim.size(_carried_symbol(frame, statement, name, size_name(name, i), i))
            for i in range(-len(value.shape.dims), 0)
        )
        return Slot(Array(Shape(dims, value.shape.lead), value.dtype), slot.static)
    if isinstance(value, Dim | int) and not isinstance(value, bool):
        return Slot(Dim.symbol(_carried_symbol(frame, statement, name, name, 0)), slot.static)
    return slot


def _next_header(
    frame: Frame,
    statement: ast.AST,
    entry: Env,
    header: Env,
    back: Env,
    assigned: list[str],
    invariant: set[tuple[str, int]],
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
        if name not in new or not isinstance(back.get(name, Slot(None)).value, Array | Dim | Input):
            continue
        carried.update(_carried_sizes(frame, statement, name, entry[name].value, back[name].value))
    settled = _settled(carried)
    if settled:
        new = {n: Slot(substitute(s.value, settled), s.static, s.maybe_unbound) for n, s in new.items()}
    return new, any(not _alike_slots(slot, header[name]) for name, slot in new.items())


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
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return bool(a == b) or (isinstance(a, Unknown) and isinstance(b, Unknown))


def _next_slot(frame: Frame, statement: ast.AST, name: str, first: Slot, old: Slot, end: Slot) -> Slot:
    start, last = old.value, end.value
    if isinstance(last, Input):
        last = input_array(frame.session, last)
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
    if isinstance(start, list) and isinstance(last, ModuleList):
        return Slot(start if not start else Unknown("a list that a loop extends"), False)
    if isinstance(start, list) and isinstance(last, list):
        return Slot(Unknown("a list that a loop extends"), False)
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


def substitute(value: Any, replacements: dict[str, Dim]) -> Any:
    """A value with symbols replaced."""
    if isinstance(value, Dim):
        return value.substitute(lambda text: replacements.get(text))
    if isinstance(value, Array):
        dims = tuple(d.substitute(lambda text: replacements.get(text)) for d in value.shape.dims)
        return Array(Shape(dims, value.shape.lead), value.dtype, value.weak)
    if isinstance(value, Shape):
        return Shape(tuple(d.substitute(lambda text: replacements.get(text)) for d in value.dims), value.lead)
    if isinstance(value, tuple | list):
        return type(value)(substitute(item, replacements) for item in value)
    if isinstance(value, dict):
        return {key: substitute(item, replacements) for key, item in value.items()}
    if isinstance(value, VariableValue):
        return VariableValue(value.site, substitute(value.value, replacements))
    return value


def _close(
    frame: Frame, statement: ast.For | ast.While, entry: Env, header: Env, back: Env, iterable: Any
) -> dict[str, Dim]:
    """Record where each carried size that remains comes from, and what it is behind the loop."""
    results: dict[str, Dim] = {}
    last_round = LastRound(frame, statement, iterable)
    for name, slot in header.items():
        for index, label, first, last in _pairs(frame, statement, name, entry, slot, back):
            number = _phi_number(frame, statement, name, index)
            result = last_round.result(first, last)
            results[token(label, "p", number)] = result
            if not frame.foreign:
                phi = Phi(number, label, statement, (first, last), True, result)
                frame.session.facts.phis[number] = phi
    return results


def _pairs(frame: Frame, statement: ast.AST, name: str, entry: Env, slot: Slot, back: Env) -> Any:
    if name not in entry or name not in back:
        return
    first, top, last = entry[name].value, slot.value, back[name].value
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
        if here == Dim.symbol(token(label, "p", _phi_number(frame, statement, name, index))):
            yield index, label, before, after


def _surely_runs(iterable: Any) -> bool:
    if isinstance(iterable, tuple | list):
        return bool(iterable)
    if isinstance(iterable, Iterated) and iterable.kind == "enumerate":
        return _surely_runs(iterable.args[0])
    return False


# ---- what a loop binds -------------------------------------------------------------------------------------


def bind_target(frame: Frame, target: ast.expr, iterable: Any, static: bool, node: ast.AST) -> None:
    """Bind a loop's target to the element of one round."""
    from nnx_migrate.linen.interpreter.statements import assign

    assign(frame, target, element(frame, iterable, target, static, node), static, node)


def element(frame: Frame, iterable: Any, target: ast.expr | None, static: bool, node: ast.AST) -> Any:
    """What stands for every element of an iterable; loop variables of static iterables become symbols."""
    if isinstance(iterable, Maybe):
        iterable = iterable.value
    if isinstance(iterable, Iterated):
        return _iterated(frame, iterable, target, static, node)
    if isinstance(iterable, ModuleList | ManyOf):
        return iterable.element
    if isinstance(iterable, VariableValue):
        iterable = iterable.value
    if isinstance(iterable, Input):
        if static:
            return Unknown("an element of an argument")
        array = input_array(frame.session, iterable)
        return Array(Shape(array.shape.dims, ""), None)
    if isinstance(iterable, Array):
        if iterable.shape.rank:
            return iterable.with_shape(Shape(iterable.shape.dims[1:]))
        return Unknown("a row of an array of unknown rank")
    if isinstance(iterable, tuple | list):
        return _known_elements(frame, list(iterable), target, static, node)
    if isinstance(iterable, dict):
        return _known_elements(frame, list(iterable), target, static, node)
    if static or isinstance(iterable, Expr):
        return loop_symbol(frame, target, node)
    return Unknown(iterable.reason if isinstance(iterable, Unknown) else "an iterable that can't be followed")


def _known_elements(
    frame: Frame, items: list[Any], target: ast.expr | None, static: bool, node: ast.AST
) -> Any:
    if items and all(item == items[0] for item in items):
        return items[0]
    if items and all(isinstance(item, Instance) for item in items):
        return OneOf(tuple(items))
    if isinstance(target, ast.Tuple | ast.List) and items:
        width = len(target.elts)
        if all(isinstance(item, tuple | list) and len(item) == width for item in items):
            columns = [[item[i] for item in items] for i in range(width)]
            return tuple(
                _known_elements(frame, column, target.elts[i], static, node)
                for i, column in enumerate(columns)
            )
    if static:
        numbers = all(as_dim(item) is not None for item in items)
        return loop_symbol(frame, target, node, "int" if numbers else "")
    arrays = [input_array(frame.session, item) if isinstance(item, Input) else item for item in items]
    if arrays and all(isinstance(item, Array) for item in arrays):
        result = arrays[0]
        for other in arrays[1:]:
            result = join(frame, result, other, node, "item")
        return result
    return Unknown("elements of different kinds")


class OneOf(tuple):  # type: ignore[type-arg]
    """One of several submodules, in the order in which a loop takes them."""


def loop_symbol(frame: Frame, target: ast.expr | None, node: ast.AST, kind: str = "") -> Any:
    """A symbol for a loop variable."""
    if isinstance(target, ast.Tuple | ast.List):
        return tuple(loop_symbol(frame, part, node) for part in target.elts)
    if not isinstance(target, ast.Name):
        return Unknown("a loop variable that can't be followed")
    if frame.foreign and not isinstance(node, ast.For):
        return Unknown(f"`{target.id}` is a loop variable of another module")
    symbol = loop_variable(frame, node, target.id)
    number = frame.session.number_of(("variable", id(node), frame.context, target.id))
    frame.session.facts.loop_variables[number] = LoopVariable(number, target.id, node)
    return Expr(symbol, kind)


def _iterated(frame: Frame, iterable: Iterated, target: ast.expr | None, static: bool, node: ast.AST) -> Any:
    kind, args = iterable.kind, iterable.args
    parts = list(target.elts) if isinstance(target, ast.Tuple | ast.List) else []
    if kind == "range":
        return loop_symbol(frame, target, node, "int") if static else Dim.unknown("a loop counter")
    if kind == "enumerate":
        counter = parts[0] if len(parts) == 2 else None
        rest = parts[1] if len(parts) == 2 else None
        index = (
            loop_symbol(frame, counter, node, "int") if counter is not None else Dim.unknown("a loop counter")
        )
        return (index, element(frame, args[0], rest, static, node))
    if kind == "zip":
        return tuple(
            element(frame, arg, parts[i] if i < len(parts) else None, static, node)
            for i, arg in enumerate(args)
        )
    if kind in ("reversed", "list", "tuple", "sorted"):
        return element(frame, args[0], target, static, node)
    if kind == "items":
        value = args[0]
        if isinstance(value, dict):
            key = _known_elements(frame, list(value), parts[0] if parts else None, static, node)
            return (
                key,
                _known_elements(frame, list(value.values()), parts[1] if parts else None, static, node),
            )
        if isinstance(value, ModuleList):
            return (Unknown("a key"), value.element)
        return loop_symbol(frame, target, node) if static else Unknown("items of an unknown dict")
    if kind in ("keys", "values"):
        value = args[0]
        if isinstance(value, dict):
            chosen = list(value) if kind == "keys" else list(value.values())
            return _known_elements(frame, chosen, target, static, node)
        if isinstance(value, ModuleList) and kind == "values":
            return value.element
    return loop_symbol(frame, target, node) if static else Unknown("an iterable that can't be followed")


# ---- comprehensions ----------------------------------------------------------------------------------------


def comprehension(frame: Frame, node: ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp) -> Any:
    """A list of modules, a list of equal values, or something the constructor can compute."""
    from nnx_migrate.linen.interpreter.expressions import evaluate, static_or_unknown

    inner = frame.child(env=dict(frame.env))
    inner.returns = frame.returns
    controls = frame.controls
    if frame.foreign and len(node.generators) == 1 and not node.generators[0].ifs:
        found = _unrolled_comprehension(inner, node)
        if found is not None:
            return found
    for generator in node.generators:
        iterable = evaluate(inner, generator.iter)
        static = is_static(inner, generator.iter)
        bind_target(inner, generator.target, iterable, static, node)
        for test in generator.ifs:
            evaluate(inner, test)
    inner.controls = (*controls, *(branch(node, "loop") for _ in node.generators[:1]))
    if isinstance(node, ast.DictComp):
        evaluate(inner, node.key)
        value = evaluate(inner, node.value)
    else:
        value = evaluate(inner, node.elt)
    if _holds_module(value):
        if len(node.generators) > 1 and not frame.foreign:
            raise Refuse("unsupported-syntax", "modules created in a comprehension over two iterables", node)
        return ModuleList(value, node)
    if is_static(frame, node):
        return static_or_unknown(frame, node, "sequence")
    if isinstance(node, ast.DictComp):
        return Unknown("a dict comprehension over arrays")
    return ManyOf(value) if isinstance(value, Array) else Unknown("a comprehension over values of a call")


def _unrolled_comprehension(inner: Frame, node: Any) -> Any:
    from nnx_migrate.linen.interpreter.expressions import evaluate
    from nnx_migrate.linen.interpreter.statements import assign

    items = known_items(evaluate(inner, node.generators[0].iter))
    if items is None or len(items) > _MAX_UNROLL:
        return None
    results: list[Any] = []
    outer = inner.context
    for index, item in enumerate(items):
        inner.context = (*outer, _round_marker(inner, node, index))
        assign(inner, node.generators[0].target, item, False, node)
        if isinstance(node, ast.DictComp):
            results.append((evaluate(inner, node.key), evaluate(inner, node.value)))
        else:
            results.append(evaluate(inner, node.elt))
    inner.context = outer
    if isinstance(node, ast.DictComp):
        keys = [key for key, _ in results]
        return dict(results) if all(isinstance(key, str | int) for key in keys) else None
    return results


def _round_marker(frame: Frame, node: ast.AST, index: int) -> ast.AST:
    """A stand-in node that tells the rounds of an unrolled loop apart."""
    markers = frame.session.round_markers
    return markers.setdefault((node, index), ast.Pass())


def _holds_module(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_holds_module(item) for item in value)
    return isinstance(value, Instance | ModuleList)


class ManyOf:
    """A list, of unknown length, of arrays of one shape."""

    def __init__(self, element: Array) -> None:
        self.element = element

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ManyOf) and self.element == other.element

    def __hash__(self) -> int:
        return hash(("ManyOf", self.element))


__all__ = ["ManyOf", "OneOf", "attributes", "comprehension", "for_loop", "while_loop"]
