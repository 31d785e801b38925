"""Loops that count through lists of modules: `for i in range(len(self.layers)): x = self.layers[i](x)`.

Such a loop takes what another one has made, round by round, as one over the list itself does.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.dims import same
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.gathered import count_of
from nnx_migrate.linen.values import Iterated, ModuleList
from nnx_migrate.names.nodes import is_of_self, position


def counted_lists(frame: Frame, loop: ast.For, iterable: Any) -> tuple[ModuleList, ...]:
    """The lists whose items a loop takes in their order, one in each round, the last made first."""
    counter = _counter(loop, iterable)
    if counter is None or _is_bound_within(loop, counter):
        return ()
    found: dict[ast.AST, ModuleList] = {}
    for node in (n for statement in loop.body for n in ast.walk(statement)):
        if not (isinstance(node, ast.Subscript) and _is_named(node.slice, counter)):
            continue
        base = node.value
        if not ((isinstance(base, ast.Name) and not _is_bound_within(loop, base.id)) or is_of_self(base)):
            continue
        value = evaluate(frame, base)
        if isinstance(value, ModuleList) and value.rounds is not None and not value.keyed:
            if _has_length(loop.iter, base) or _are_as_many(iterable, value):
                found[value.rounds.loop] = value
    return tuple(sorted(found.values(), key=_place, reverse=True))


def _counter(loop: ast.For, iterable: Any) -> str | None:
    """The variable that counts the rounds from 0."""
    target = loop.target
    if not isinstance(iterable, Iterated) or len(iterable.args) != 1:
        return None
    if iterable.kind == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        target = target.elts[0]
    elif iterable.kind != "range":
        return None
    return target.id if isinstance(target, ast.Name) else None


def _is_bound_within(loop: ast.For, name: str) -> bool:
    """Whether the body of a loop gives a name another value, or another meaning in a function."""
    for node in (n for statement in loop.body for n in ast.walk(statement)):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.arg) and node.arg == name:
            return True
    return False


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _has_length(iterable: ast.expr, base: ast.expr) -> bool:
    """Whether a loop runs over `range(len(base))`."""
    return ast.unparse(iterable) == f"range(len({ast.unparse(base)}))"


def _are_as_many(iterable: Any, modules: ModuleList) -> bool:
    """Whether a loop has as many rounds as a list has items."""
    rounds, items = count_of(iterable), count_of(modules)
    return bool(rounds.known and items.known and same(rounds, items))


def _place(modules: ModuleList) -> tuple[int, int]:
    return position(modules.rounds.loop if modules.rounds is not None else None)
