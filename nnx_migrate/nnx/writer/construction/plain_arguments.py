"""Arguments of which their text shows that they are no modules, and make none: `f"down_{i}"`, `kernel_init(1.0)`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.fields.declared import declares_data

if TYPE_CHECKING:
    from nnx_migrate.linen.bridged import Bridges
    from nnx_migrate.linen.classes.model import LinenClass

#: Builtins that only work on what they get.
_PLAIN = frozenset(
    {
        "None", "True", "False", "abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "frozenset",
        "int", "isinstance", "len", "list", "max", "min", "pow", "range", "repr", "reversed", "round", "set",
        "sorted", "str", "sum", "tuple", "zip",
    }
)  # fmt: skip


def makes_no_module(
    bridges: Bridges, cls: LinenClass, node: ast.expr | None, is_data: Callable[[ast.expr], bool]
) -> bool:
    """Whether an expression in a class surely gives nothing that is, has or makes modules.

    `is_data` says so of local names, from what they stand for.
    """
    if node is None:
        return False
    if isinstance(node, ast.JoinedStr | ast.Compare | ast.Constant):
        return True
    if any(isinstance(inner, ast.Lambda | ast.NamedExpr | ast.Await) for inner in ast.walk(node)):
        return False
    declared: dict[str, Any] = {item.name: item.annotation for item in cls.fields}
    scope, module = cls.module.scope_at(node), cls.module
    for inner in ast.walk(node):
        if not isinstance(inner, ast.Name):
            continue
        binder = scope.binder(inner.id)
        if inner.id == "self":
            read = module.parents.get(inner)
            if not (isinstance(read, ast.Attribute) and declares_data(declared.get(read.attr))):
                return False
        elif binder is None:
            if inner.id not in _PLAIN:
                return False
        elif not binder.is_module and not is_data(inner):
            return False
    return bridges.is_harmless(module, node)
