"""When things happen in one scope: a model is changed in place, so nothing may look at an older one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Scope
from nnx_migrate.nnx.programs.idiomatic.kinds import Facts, FunctionNode

LOOPS = (ast.For, ast.AsyncFor, ast.While)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def loops_around(module: Module, node: ast.AST, scope: Scope) -> list[ast.AST]:
    """The loops of a scope that contain a node, innermost first."""
    found: list[ast.AST] = []
    current = module.parents.get(node)
    while current is not None and current is not scope.node:
        if isinstance(current, (*LOOPS, *COMPREHENSIONS)):
            found.append(current)
        current = module.parents.get(current)
    return found


def is_conditional(module: Module, node: ast.AST, scope: Scope) -> bool:
    """Whether a part of a scope may run never or more than once."""
    current = module.parents.get(node)
    while current is not None and current is not scope.node:
        if isinstance(
            current, (*LOOPS, *COMPREHENSIONS, ast.If, ast.IfExp, ast.Try, ast.BoolOp, ast.Match, ast.Lambda)
        ):
            return True
        if isinstance(current, ast.FunctionDef):
            return True
        current = module.parents.get(current)
    return False


def places_in(facts: Facts, module: Module, node: ast.expr, scope: Scope) -> Iterator[ast.expr]:
    """Where a read happens in a scope: there, or where the functions are called that it stands in."""
    pending: list[ast.expr] = [node]
    seen: set[ast.AST] = set()
    while pending:
        current = pending.pop()
        own = module.scope_at(current)
        while isinstance(own.node, COMPREHENSIONS) and own.parent is not None and own is not scope:
            own = own.parent
        if own is scope:
            yield current
        elif isinstance(own.node, FunctionNode) and own.node not in seen:
            seen.add(own.node)
            function = facts.functions.get(own.node)
            pending += [c.call for c in function.calls if c.module is module] if function else []


def happens_after(module: Module, first: ast.AST, then: ast.AST, since: ast.AST, scope: Scope) -> bool:
    """Whether `then` may happen after `first`, `since` not having happened again in between."""
    if _position(since) < _position(first) < _position(then):
        return True
    around, fresh = loops_around(module, first, scope), loops_around(module, since, scope)
    inside = loops_around(module, then, scope)
    if any(loop in around and loop not in fresh for loop in inside):
        return True
    shared = [loop for loop in fresh if loop in around]  # `first` may come again before `since` does
    if not shared:
        return False
    renewed = shared[0] in inside and _position(since) < _position(then)
    return not renewed or _may_be_skipped(module, since, shared[0])


def _may_be_skipped(module: Module, node: ast.AST, loop: ast.AST) -> bool:
    """Whether a loop may go on without a part of its body."""
    current = module.parents.get(node)
    while current is not None and current is not loop:
        if isinstance(current, (*LOOPS, *COMPREHENSIONS, ast.If, ast.IfExp, ast.Try, ast.BoolOp, ast.Match)):
            return True
        current = module.parents.get(current)
    return False


def _position(node: ast.AST) -> tuple[int, int]:
    return (getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0))


def follows(module: Module, first: ast.AST, then: ast.AST) -> bool:
    """Whether the statement of one node stands right behind that of another."""
    before, after = module.statement_of(first), module.statement_of(then)
    body = getattr(module.parents[before], "body", [])
    return before in body and body[body.index(before) + 1 :][:1] == [after]
