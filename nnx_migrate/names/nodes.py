"""The nodes of syntax trees: all below one, faster than by `ast.walk`, and what some of them are."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TypeGuard

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


@lru_cache(maxsize=4096)
def all_below(tree: ast.AST) -> tuple[ast.AST, ...]:
    """`nodes_below` of a method or statement that is gone through many times."""
    return tuple(nodes_below(tree))


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one in the order of `ast.iter_child_nodes`, without contexts and operators."""
    found: list[ast.AST] = []
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


def contains(tree: ast.AST, node: ast.AST) -> bool:
    """Whether a node is a tree, or below it."""
    return any(inner is node for inner in ast.walk(tree))


def position(node: ast.AST | None) -> tuple[int, int]:
    """Line and column where a node starts; (0, 0) where code has no place."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def is_none(node: ast.AST | None) -> bool:
    """Whether a node is the constant `None`."""
    return isinstance(node, ast.Constant) and node.value is None


def string_in(node: ast.AST) -> str | None:
    """The text that a literal is; None for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_self(node: ast.AST) -> TypeGuard[ast.Name]:
    """Whether a node is the name `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def is_of_self(node: ast.AST, name: str = "") -> TypeGuard[ast.Attribute]:
    """Whether a node is `self.name`; any attribute without a name."""
    return isinstance(node, ast.Attribute) and is_self(node.value) and name in ("", node.attr)


def last_name(node: ast.AST) -> str:
    """`vmap` of `jax.vmap`, and a name itself; empty for what is neither."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@lru_cache(maxsize=4096)
def is_generator(function: ast.AST) -> bool:
    """Whether a function, or one inside it, yields."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in all_below(function))
