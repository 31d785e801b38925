"""Mode flags that a module takes where it is made or where it is called: `nn.merge_param` takes what is given."""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.parameters import defaults


def is_merged(cls: LinenClass, name: str) -> bool:
    """Whether `__call__` reads a field in `name = nn.merge_param("name", self.name, name)`, and nothing else does."""
    method = cls.method("__call__")
    item = cls.field(name)
    if method is None or item is None or name not in _keywords(method.node):
        return False
    reads = [
        node
        for owner in cls.mro
        for node in ast.walk(owner.node)
        if isinstance(node, ast.Attribute) and node.attr == name
    ]
    merges = [
        call
        for call in ast.walk(method.node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name | ast.Attribute)
        and (linen_name(cls.resolve_in_class(call.func)) or "").rpartition(".")[2] == "merge_param"
        and len(call.args) == 3
    ]
    return len(reads) == 1 and any(
        call.args[1] is reads[0] and isinstance(call.args[2], ast.Name) and call.args[2].id == name
        for call in merges
    )


def _keywords(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The parameters of a function with the default None."""
    pairs = defaults(function.args)
    return {a.arg for a, default in pairs if isinstance(default, ast.Constant) and default.value is None}
