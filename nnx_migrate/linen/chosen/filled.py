"""Variables of a file that hold a dict or a list to which code adds something: registries."""

from __future__ import annotations

import ast
from functools import lru_cache

from nnx_migrate.names.modules import Module

_CHANGING = frozenset(
    {"add", "append", "extend", "insert", "move_to_end", "setdefault", "update", "__setitem__"}
)


@lru_cache(maxsize=4096)
def is_filled(module: Module, name: str) -> bool:
    """Whether the file puts something into a variable's value later on."""
    for node in module.nodes(ast.Name):
        if node.id != name:
            continue
        parent = module.parents.get(node)
        if isinstance(parent, ast.Subscript) and not isinstance(parent.ctx, ast.Load):
            return True
        if isinstance(parent, ast.Attribute) and parent.attr in _CHANGING:
            return True
        if isinstance(parent, ast.AugAssign):
            return True
    return False
