"""Functions that make layers or modules: for whoever calls them, or to be returned."""

from __future__ import annotations

import ast
from functools import lru_cache

from nnx_migrate.linen.classes.model import LinenProgram
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import dotted


def makes_modules(program: LinenProgram, module: Module, function: ast.AST) -> bool:
    """Whether the code of a function of `module`, or of one that it calls, names a class of modules."""
    return _makes(program, module, function, frozenset())


def names_module(program: LinenProgram, module: Module, node: ast.expr) -> bool:
    """Whether an expression names a class of modules."""
    qualified = program.project.resolve(node, module.scope_at(node), module)
    linen = linen_name(qualified)
    is_layer = linen is not None and linen != "Module" and "." not in linen and linen[:1].isupper()
    return is_layer or program.find(qualified) is not None


@lru_cache(maxsize=4096)
def _makes(program: LinenProgram, module: Module, function: ast.AST, above: frozenset[ast.AST]) -> bool:
    project = program.project
    called = {n.func for n in ast.walk(function) if isinstance(n, ast.Call)}
    for node in _paths(function):
        qualified = project.resolve(node, module.scope_at(node), module)
        if qualified is None:
            continue
        linen = linen_name(qualified)
        if linen is not None and linen != "Module" and "." not in linen and linen[:1].isupper():
            return True
        if program.find(qualified) is not None:
            return True
        found = project.definition(qualified) if node in called and linen is None else None
        if found is None or not isinstance(found.node, ast.FunctionDef) or found.node in above:
            continue
        if _makes(program, found.module, found.node, above | {function, found.node}):
            return True
    return False


def _paths(function: ast.AST) -> list[ast.Name | ast.Attribute]:
    """The names and dotted paths that a function's code reads; what annotations name makes nothing."""
    found: list[ast.Name | ast.Attribute] = []
    waiting = list(getattr(function, "body", ())) if isinstance(function, ast.FunctionDef) else [function]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) is not None:
            found.append(node)
        else:
            skipped = ("annotation", "returns")
            waiting += [
                child
                for name, value in ast.iter_fields(node)
                if name not in skipped
                for child in (value if isinstance(value, list) else [value])
                if isinstance(child, ast.AST)
            ]
    return found
