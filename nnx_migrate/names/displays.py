"""What stands behind `**options` in a construction: a dict of the method or of the file that never changes."""

from __future__ import annotations

import ast

from nnx_migrate.names.modules import Module

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def display_behind(module: Module, node: ast.expr) -> dict[str, ast.expr] | None:
    """The items of the dict that a variable holds, as expressions of the file; None where that isn't certain.

    The variable is bound once, to a display, and only ever spread or read; the locals that its items read are
    bound once, too, so that they mean the same at the construction.
    """
    whole, value = _assigned(module, node)
    items = _items(value)
    if items is None:
        return None
    for name in (n.id for value in items.values() for n in ast.walk(value) if isinstance(n, ast.Name)):
        if isinstance(whole, _Function) and len(_bindings(whole, name)) > 1 and not _is_input(whole, name):
            return None
    return items


def keys_behind(module: Module, node: ast.expr) -> frozenset[str] | None:
    """All keys that a dict may have which a condition chooses: `{"use_bias": False} if plain else {}`."""
    value = _assigned(module, node)[1] if isinstance(node, ast.Name) else node
    if isinstance(value, ast.IfExp):
        branches = [keys_behind(module, value.body), keys_behind(module, value.orelse)]
        return None if None in branches else frozenset().union(*(keys for keys in branches if keys))
    items = _items(value)
    return None if items is None else frozenset(items)


def _assigned(module: Module, node: ast.expr) -> tuple[ast.AST, ast.expr | None]:
    """The scope of a variable, and what it holds; None unless it is bound once, and only spread or read."""
    if not isinstance(node, ast.Name):
        return module.tree, None
    scope: ast.AST | None = module.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    while isinstance(scope, _Function) and not _bindings(scope, node.id):
        scope = module.enclosing(scope, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    whole = scope if scope is not None else module.tree
    bound = _bindings(whole, node.id)
    statement = module.parents.get(bound[0]) if len(bound) == 1 else None
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return whole, None
    if isinstance(statement, ast.Assign) and statement.targets != bound:
        return whole, None
    return whole, statement.value if all(_only_read(module, n) for n in _loads(whole, node.id)) else None


def _items(value: ast.expr | None) -> dict[str, ast.expr] | None:
    """The items of `dict(a=1)` or `{"a": 1}`."""
    if isinstance(value, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
        if all(isinstance(key, str) for key in keys):
            return {str(key): item for key, item in zip(keys, value.values, strict=True)}
    is_dict = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict"
    if is_dict and isinstance(value, ast.Call) and not value.args and all(k.arg for k in value.keywords):
        return {str(k.arg): k.value for k in value.keywords}
    return None


def _bindings(scope: ast.AST, name: str) -> list[ast.AST]:
    arguments = [n for n in ast.walk(scope) if isinstance(n, ast.arg) and n.arg == name]
    names = [n for n in ast.walk(scope) if isinstance(n, ast.Name) and n.id == name]
    return [*arguments, *(n for n in names if not isinstance(n.ctx, ast.Load))]


def _is_input(scope: ast.AST, name: str) -> bool:
    """Whether a name is an argument of the method: its sizes are known by what it holds at each place."""
    return any(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(scope))


def _loads(scope: ast.AST, name: str) -> list[ast.Name]:
    return [
        n for n in ast.walk(scope) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
    ]


def _only_read(module: Module, node: ast.Name) -> bool:
    parent = module.parents.get(node)
    if isinstance(parent, ast.keyword):
        return parent.arg is None
    return isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load)
