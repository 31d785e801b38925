"""What a method of a Linen class surely uses: Linen creates the parameters of that alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.handed.sure_reads import ANYTHING, Given, Read, sure_reads
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
    return {read.name for read in sure_uses(cls, [(start, ANYTHING) for start in starts], {})}


def sure_uses(cls: LinenClass, starts: Iterable[tuple[str, Given]], fields: Mapping[str, Any]) -> set[Read]:
    """The same with what calls give, for methods that are called so; `fields` are values that are known."""
    found: set[Read] = set()
    pending = [Read(name, given) for name, given in starts]
    done: set[Read] = set()
    own = {f"self.{name}": value for name, value in fields.items()}
    while pending:
        read = pending.pop()
        method = cls.method(read.name)
        if method is None or read in done:
            continue
        done.add(read)
        bound = 0 if method.kind == "static" else 1
        reads = sure_reads(method.node, own | read.given.values(method.node.args, bound))
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
