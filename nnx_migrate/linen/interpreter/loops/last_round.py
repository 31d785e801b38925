"""What the last round of a loop leaves otherwise than the others do.

    for i in range(self.num_stages):
        x = Stage(self.widths[i])(x).reshape(x.shape[0], -1, self.widths[i])
        if i != self.num_stages - 1:
            x = x.reshape(batch, height, width, -1)

A round begins with the array of four axes, and behind the loop there is the one of three. Sizes that both have are
those that the loop carries; others are told for the last round. Where there is no round, these are the sizes before
the loop.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Env, Frame, Slot
from nnx_migrate.linen.interpreter.loops.gathered import count_of
from nnx_migrate.linen.interpreter.loops.results import LastRound
from nnx_migrate.linen.values import Expr, Iterated, Rounds

_LAST = Dim.unknown("a size that the last round of a loop leaves")
_OTHERS = {ast.NotEq: (1, -1), ast.Lt: (1,), ast.Gt: (-1,)}  # hold in all rounds but the last one
_ONLY = {ast.Eq: (1, -1), ast.GtE: (1,), ast.LtE: (-1,)}  # hold in the last round only


def holds_before_last(frame: Frame, statement: ast.If) -> bool | None:
    """Whether a condition holds in all rounds of the loop around it but the last (True), or only there (False).

    None for others. It has to be asked where the condition is evaluated, as variables may change below it.
    """
    loop = frame.rounds[-1] if frame.rounds else None
    if loop is None or loop.context != frame.context or not isinstance(loop.loop, ast.For):
        return None
    body = loop.loop.body
    if statement not in body or any(
        isinstance(n, ast.Break | ast.Continue) for s in body for n in ast.walk(s)
    ):
        return None
    return _before_last(frame, statement.test, loop)


def leave_in_last_round(frame: Frame, statement: ast.If, going: Env, last: Env) -> None:
    """Behind a condition on the last round: arrays of another rank than the next round gets are left for later.

    `going` are the variables of the other rounds.
    """
    loop = frame.rounds[-1].loop
    assert isinstance(loop, ast.For)
    behind = loop.body[loop.body.index(statement) + 1 :]
    read = {n.id for later in behind for n in ast.walk(later) if isinstance(n, ast.Name)}
    for name in going.keys() & last.keys() - read:
        a, b = going[name].value, last[name].value
        if not (isinstance(a, Array) and isinstance(b, Array) and a.shape.exact and b.shape.exact):
            continue
        if len(a.shape.dims) != len(b.shape.dims):
            frame.env[name] = going[name]
            frame.left[id(loop), name] = b


def left_behind(frame: Frame, loop: LastRound, entry: Env, header: Env, back: Env) -> Env:
    """The variables behind a loop that its last round leaves otherwise than the round before; `entry` are those before
    it.
    """
    found: Env = {}
    for (place, name), last in frame.left.items():
        top = header[name].value if name in header else None
        end = back[name].value if name in back else None
        if place != id(loop.statement) or not (isinstance(top, Array) and isinstance(end, Array)):
            continue
        before = effect_value(frame.session, entry[name].value)
        dims = tuple(
            carried if carried is not None else _of_last_round(loop, before, axis, last)
            for axis in range(-len(last.shape.dims), 0)
            for carried in (_size(top.shape, end.shape, axis, last),)
        )
        found[name] = Slot(
            Array(Shape(dims, last.shape.lead), last.dtype if last.dtype == top.dtype else None)
        )
    return found


def _size(top: Shape, end: Shape, axis: int, last: Array) -> Dim | None:
    """A size that the loop carries, if the last round leaves the same as the others."""
    if -axis > min(len(top.dims), len(end.dims)) or not same(end.dim(axis), last.shape.dim(axis)):
        return None
    return top.dim(axis)


def _of_last_round(loop: LastRound, before: object, axis: int, last: Array) -> Dim:
    """A size that nothing tells but the last round, or what was there before the loop if there is no round."""
    first = before.shape.dim(axis) if isinstance(before, Array) else _LAST
    size = loop.alone(first, last.shape.dim(axis))
    return size if size.known else _LAST


def _before_last(frame: Frame, test: ast.expr, loop: Rounds) -> bool | None:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        found = _before_last(frame, test.operand, loop)
        return None if found is None else not found
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    left, right = (as_dim(evaluate(frame, side)) for side in (test.left, test.comparators[0]))
    counter, count = _counter(frame, loop), _count(loop)
    if left is None or right is None or counter is None or not count.known:
        return None
    away = left - right
    step = away.substitute(lambda text: Dim.symbol(text) + 1 if text == counter else None) - away
    at_end = away.substitute(lambda text: count - 1 if text == counter else None)
    if step.const is None or same(at_end, 0) is not True:
        return None
    if step.const in _OTHERS.get(type(test.ops[0]), ()):
        return True
    return False if step.const in _ONLY.get(type(test.ops[0]), ()) else None


def _counter(frame: Frame, loop: Rounds) -> str | None:
    """The symbol that counts the rounds from 0."""
    target = loop.target
    if isinstance(loop.iterable, Iterated) and loop.iterable.kind == "enumerate":
        target = target.elts[0] if isinstance(target, ast.Tuple) and len(loop.iterable.args) == 1 else target
    elif not (isinstance(loop.iterable, Iterated) and loop.iterable.kind == "range"):
        return None
    slot = frame.lookup(target.id) if isinstance(target, ast.Name) else None
    dim = as_dim(slot.value) if slot is not None else None
    symbols = list(dim.symbols()) if dim is not None and dim.known else []
    return symbols[0] if len(symbols) == 1 and dim == Dim.symbol(symbols[0]) else None


def _count(loop: Rounds) -> Dim:
    """How many rounds there are."""
    iterable = loop.iterable
    if isinstance(iterable, Iterated) and iterable.kind == "enumerate" and isinstance(iterable.args[0], Expr):
        return Dim.symbol(f"len({iterable.args[0].text})", 0)
    return count_of(iterable)
