"""Loops: sizes that a loop carries, variables that it binds.

A loop body is interpreted as often as its sizes need to become stable. Sizes that change from round to round
become symbols of their own (`Phi`): their value at the top of a round, which is also the value after the
loop.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.branches.control import branch, join_envs
from nnx_migrate.linen.interpreter.dispatch import evaluate, execute, executes
from nnx_migrate.linen.interpreter.frame import Env, Frame, Slot
from nnx_migrate.linen.interpreter.loops.carried import carried_slot, close, next_header
from nnx_migrate.linen.interpreter.loops.elements import surely_runs
from nnx_migrate.linen.interpreter.loops.filled import after_loop
from nnx_migrate.linen.interpreter.loops.last_round import left_behind
from nnx_migrate.linen.interpreter.loops.results import LastRound, outside
from nnx_migrate.linen.interpreter.loops.unrolling import (
    bind_unnamed,
    parts_of,
    refuse_created,
    round_marker,
    unroll,
    unrollable,
)
from nnx_migrate.linen.interpreter.stale import forget_in, token_of
from nnx_migrate.linen.interpreter.statements.assignment import bind_target
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Iterated, Maybe, ModuleList, Rounds
from nnx_migrate.names.nodes import nodes_below

_ROUNDS = 6


@executes(ast.For)
def for_loop(frame: Frame, statement: ast.For) -> None:
    """`for target in iterable: body`."""
    iterable = evaluate(frame, statement.iter)
    static = is_static(frame, statement.iter)
    items = unrollable(frame, statement, iterable)
    if items is not None:
        unroll(frame, statement, items)
        return
    _check_target(statement)
    parts = parts_of(statement, iterable)
    if parts is not None:
        _over_parts(frame, statement, parts, isinstance(iterable, Iterated))
        return
    _loop(
        frame, statement, lambda: bind_target(frame, statement.target, iterable, static, statement), iterable
    )


def _over_parts(frame: Frame, statement: ast.For, parts: Sequence[Any], counted: bool) -> None:
    """The rounds over a list of layers of which loops have made some: one by one, or those of a loop together."""
    outer = frame.context
    for index, part in enumerate(parts):
        marker = round_marker(frame, statement, index)
        frame.context = (*outer, marker)
        known = not any(isinstance(earlier, ModuleList) for earlier in parts[: index + 1])
        counter = index if known else Dim.unknown("a loop counter")
        if isinstance(part, ModuleList):
            frame.session.facts.parts[marker] = part
            item = (counter, part.element) if counted else part.element
            _loop(frame, statement, partial(bind_unnamed, frame, statement, item), part)
        else:
            bind_unnamed(frame, statement, (counter, part) if counted else part)
            execute(frame, statement.body)
        refuse_created(frame, statement)
        frame.context = outer
        if frame.ended:
            return


def _check_target(loop: ast.For) -> None:
    """Refuses `for size, size in enumerate(sizes)`: what is known of each name is one value in a round."""
    bound = Counter(node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name))
    twice = {name for name, count in bound.items() if count > 1}
    for node in (part for statement in loop.body for part in ast.walk(statement)) if twice else ():
        if isinstance(node, ast.Name) and node.id in twice and isinstance(node.ctx, ast.Load):
            raise Refuse("unsupported-syntax", f"a loop that gives `{node.id}` two values in a round", loop)


@executes(ast.While)
def while_loop(frame: Frame, statement: ast.While) -> None:
    """`while test: body`."""
    _loop(frame, statement, lambda: evaluate(frame, statement.test), None)


def _loop(frame: Frame, statement: ast.For | ast.While, bind: Any, iterable: Any) -> None:
    entry = dict(frame.env)
    attributes_entry = dict(frame.session.attributes)
    header: Env = dict(entry)
    assigned = _assigned(statement)
    recording = frame.session.recording
    controls = frame.controls
    for name in assigned:
        if name in header:
            header[name] = carried_slot(frame, name, entry[name], statement)
            token_before = token_of(name, entry[name].value)
            if token_before is not None:
                others = {n: slot for n, slot in header.items() if n not in assigned}
                forget_in(others, name, token_before)
                header.update(others)
    for _round_number in range(_ROUNDS):
        frame.session.recording = False
        back = _round(frame, statement, header, bind, iterable, probing=True)
        new_header, changed = next_header(frame, statement, entry, header, back, assigned)
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
    back = _round(frame, statement, header, bind, iterable)
    results = close(frame, statement, entry, header, back, iterable)
    runs = surely_runs(iterable)
    exits = [env for jump, env in frame.jumps if isinstance(jump, ast.Break)]
    frame.jumps = []
    after = {n: s for n, s in back.items() if n not in header}
    filled = {n: back[n] for n in assigned if n in entry and _is_filled(back[n].value)}
    last = LastRound(frame, statement, iterable)
    frame.env = {**header, **filled, **left_behind(frame, last, entry, header, back)}
    for name in assigned:
        value = frame.env[name].value if name in entry else None
        if isinstance(value, ArrayList):
            full = after_loop(frame, statement, name, entry[name].value, value, iterable)
            frame.env[name] = replace(frame.env[name], value=full)
    frame.env.update({n: Slot(s.value, s.static, maybe_unbound=not runs) for n, s in after.items()})
    for env in exits:
        frame.env = join_envs(frame, frame.env, env, statement)
    if frame.foreign:
        _leave(frame, LastRound(frame, statement, iterable), results, returned)
    frame.ended = False
    frame.controls = controls
    if statement.orelse:
        execute(frame, statement.orelse)


def _is_filled(value: Any) -> bool:
    """Whether a list has got modules in a loop, on every path or on some."""
    held = value.value if isinstance(value, Maybe) else value
    return isinstance(held, ModuleList) or isinstance(value, MixedList)


def _leave(frame: Frame, loop: LastRound, results: dict[str, Dim], returned: int) -> None:
    """Behind a loop of another module: its symbols mean nothing there."""
    for env in (frame.env, frame.session.attributes):
        for name, slot in env.items():
            env[name] = Slot(outside(slot.value, loop, results), slot.static, slot.maybe_unbound)
    for index in range(returned, len(frame.returns)):
        value, node = frame.returns[index]
        frame.returns[index] = (outside(value, loop, {}), node)


def _round(
    frame: Frame,
    statement: ast.For | ast.While,
    header: Env,
    bind: Any,
    iterable: Any,
    probing: bool = False,
) -> Env:
    """The variables at the end of one round that starts with those of `header`."""
    frame.env, frame.ended = dict(header), False
    outer_jumps, frame.jumps = frame.jumps, []
    saved = frame.controls
    returns = len(frame.returns)
    around = frame.rounds
    if isinstance(statement, ast.For):
        frame.rounds = (*around, Rounds(statement, statement.target, iterable, frame.context))
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
    frame.rounds = around
    frame.jumps = outer_jumps + [(j, e) for j, e in frame.jumps if isinstance(j, ast.Break)]
    if probing:
        frame.jumps = outer_jumps
    frame.ended = False
    frame.controls = saved
    return env


def _assigned(statement: ast.For | ast.While) -> list[str]:
    """Names that the body (or the target) may bind or change in place."""
    names: dict[str, None] = {}
    for node in nodes_below(statement):
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
