"""The nodes of syntax trees, faster than by `ast.walk`."""

from __future__ import annotations

import ast

from nnx_migrate.names.scopes import child_fields


def nodes_below(tree: ast.AST) -> list[ast.AST]:
    """A node and all below it in the order of `ast.walk`, without contexts and operators."""
    found = [tree]
    for node in found:  # grows as it is read
        for name in child_fields(type(node)):
            value = getattr(node, name)
            if type(value) is list:
                found += [child for child in value if child is not None]
            elif value is not None:
                found.append(value)
    return found


def by_kind(tree: ast.AST) -> dict[type[ast.AST], list[ast.AST]]:
    """The nodes of a tree by their types, in the same order."""
    found: dict[type[ast.AST], list[ast.AST]] = {}
    for node in nodes_below(tree):
        kind = type(node)
        if kind in found:
            found[kind].append(node)
        else:
            found[kind] = [node]
    return found
