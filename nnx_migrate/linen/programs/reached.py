"""What a method of a Linen class surely uses: Linen creates the parameters of that alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.model import LinenClass
from nnx_migrate.names.nodes import is_self


def uses_everything(cls: LinenClass, start: str) -> bool:
    """Whether `init` by the method `start` creates all that the class has; that is the rule for `__call__`."""
    if start == "__call__":
        return True
    if cls.method(start) is None:
        return False
    found = reached(cls, start)
    compact = {m.name for c in cls.mro for m in c.own_methods.values() if m.is_compact}
    if compact - found - {start}:
        return False
    setup = cls.method("setup")
    made = set(_assigned(setup.node)) if setup is not None else set()
    return made <= found and all(
        item.name in found for item in cls.fields if "Module" in ast.dump(item.annotation)
    )


def reached(cls: LinenClass, *starts: str) -> set[str]:
    """What methods, and those that these call, surely read of `self`."""
    found: set[str] = set()
    pending = list(starts)
    done: set[str] = set()
    while pending:
        name = pending.pop()
        method = cls.method(name)
        if method is None or name in done:
            continue
        done.add(name)
        for statement in method.node.body:
            reads = set(_sure_reads(statement))
            found |= reads
            pending += reads
    return found


def methods_from(cls: LinenClass, *starts: str) -> set[str]:
    """Methods with all that they may call, by their names."""
    found: set[str] = set()
    pending = list(starts)
    while pending:
        name = pending.pop()
        method = cls.method(name)
        if method is not None and name not in found:
            found.add(name)
            pending += [
                n.attr for n in ast.walk(method.node) if isinstance(n, ast.Attribute) and is_self(n.value)
            ]
    return found


def _assigned(method: ast.AST) -> Iterator[str]:
    """The attributes of `self` that a method assigns."""
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            yield node.attr


def _sure_reads(node: ast.AST) -> Iterator[str]:
    """The attributes of `self` that are read whenever a statement runs; `self(x)` reads `__call__`."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and is_self(node.value):
        yield node.attr
    if isinstance(node, ast.Call) and is_self(node.func):
        yield "__call__"
    if isinstance(node, ast.If | ast.IfExp):
        yield from _sure_reads_of_branches(node)
    elif not isinstance(node, ast.While | ast.Try | ast.BoolOp | ast.Lambda | ast.FunctionDef):
        for child in ast.iter_child_nodes(node):
            yield from _sure_reads(child)


def _sure_reads_of_branches(node: ast.If | ast.IfExp) -> Iterator[str]:
    """What both branches read, and what the test reads: `if self.encoder is not None: x = self.encoder(x)`."""
    tested = set(_sure_reads(node.test))
    body = node.body if isinstance(node.body, list) else [node.body]
    others = node.orelse if isinstance(node.orelse, list) else [node.orelse]
    first = {name for child in body for name in _sure_reads(child)}
    second = {name for child in others for name in _sure_reads(child)}
    yield from tested & first
    yield from first & second
