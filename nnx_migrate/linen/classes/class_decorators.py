"""Decorators of classes: those that leave the class as it is, and those that may keep it, as registries do.

Who looks a class up in a registry constructs it with the arguments that its Linen form had.
"""

from __future__ import annotations

import ast

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

#: Of libraries; `gin` constructs classes by the names that its configurations mention, which is looked for.
_HARMLESS = (
    "gin.",
    "typing.",
    "typing_extensions.",
    "functools.",
    "jaxtyping.",
    "beartype.",
    "typeguard.",
    "abc.",
)
_ASKING = frozenset({"isinstance", "issubclass", "getattr", "hasattr", "setattr", "print", "repr", "str"})


def may_keep(decorator: ast.expr, qualified: str | None, project: Project) -> bool:
    """Whether a class decorator, of this name, may do more with the class than to look at it."""
    if qualified is None:
        return True
    if not project.has_package(qualified.partition(".")[0]):
        return not f"{qualified}.".startswith(_HARMLESS)
    definition = project.definition(qualified)
    function = definition.node if definition is not None else None
    if definition is None or not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return True
    if isinstance(decorator, ast.Call):
        inner = _returned(function)
        return inner is None or not _only_looks(inner, definition.module)
    return not _only_looks(function, definition.module)


def _returned(function: ast.FunctionDef) -> ast.FunctionDef | None:
    """The function of its own that a function returns at its end."""
    last = function.body[-1]
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Name):
        return None
    inner = [s for s in function.body if isinstance(s, ast.FunctionDef) and s.name == last.value.id]
    return inner[0] if len(inner) == 1 and not inner[0].decorator_list else None


def _only_looks(function: ast.FunctionDef, module: Module) -> bool:
    """Whether a function gives its first argument back, and else only asks for or sets attributes of it."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    if not arguments:
        return False
    name = arguments[0].arg
    returned = False
    for node in ast.walk(function):
        if isinstance(node, ast.Return):
            if not (isinstance(node.value, ast.Name) and node.value.id == name):
                return False
            returned = True
        elif isinstance(node, ast.Name) and node.id == name and not _is_looked_at(node, module):
            return False
    return returned


def _is_looked_at(node: ast.Name, module: Module) -> bool:
    parent = module.parents[node]
    if not isinstance(node.ctx, ast.Load):
        return False
    if isinstance(parent, ast.Call):
        return node in parent.args and isinstance(parent.func, ast.Name) and parent.func.id in _ASKING
    return isinstance(parent, ast.Return | ast.Attribute | ast.FormattedValue)
