"""Lists of arrays that a loop extends: how many there are behind it, and what their sizes add up to.

    branches = [self.pool(x)]
    for rate in self.rates:
        branches.append(nn.Conv(self.features, (3, 3), kernel_dilation=rate)(x))
    x = jnp.concatenate(branches, axis=-1)

Every round has to add as many.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.totals import array_of, counted, lasting_size
from nnx_migrate.linen.interpreter.loops.gathered import count_of


def after_loop(
    frame: Frame, loop: ast.For | ast.While, name: str, before: Any, after: ArrayList, iterable: Any
) -> ArrayList:
    """The list behind a loop that extends it in every round, with its count and totals where they are known."""
    start = counted(frame, before)
    rounds = count_of(iterable) if isinstance(loop, ast.For) and not frame.foreign else None
    if start is None or start.count is None or rounds is None or not rounds.known or after.element is None:
        return after
    calls = _appending(frame, loop, name)
    steps = [frame.session.facts.list_steps.get((frame.context, call)) for call in calls or ()]
    items = [array_of(frame, step.items[0]) if step is not None and step.items else None for step in steps]
    if not items or None in items:
        return after
    totals = dict(start.totals)
    for axis in range(-len(after.element.shape.dims), 0):
        sizes = [lasting_size(item, axis) for item in items if item is not None]
        if (axis in totals or start.count.const == 0) and all(s is not None for s in sizes):
            more = sum((s for s in sizes if s is not None), Dim.of(0))
            totals[axis] = totals.get(axis, Dim.of(0)) + more * rounds
        else:
            totals.pop(axis, None)
    count = start.count + rounds * len(items)
    return replace(after, count=count, totals=tuple(totals.items()))


def _appending(frame: Frame, loop: ast.For | ast.While, name: str) -> list[ast.Call] | None:
    """The calls that extend the list, once in every round; None where anything else may change it."""
    calls = [
        statement.value
        for statement in loop.body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    ]
    appending = [call for call in calls if ast.unparse(call.func) == f"{name}.append"]
    allowed = {n for call in appending for n in ast.walk(call.func)}
    for node in ast.walk(loop):
        if isinstance(node, ast.Break | ast.Continue | ast.Return):
            return None
        if isinstance(node, ast.Name) and node.id == name and node not in allowed:
            outer = frame.module.parents.get(node)
            if not (isinstance(outer, ast.Subscript) and isinstance(outer.ctx, ast.Load)):
                return None
    return appending
