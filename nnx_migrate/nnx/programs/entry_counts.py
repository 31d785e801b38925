"""Code that counts the entries of parameters: `assertLen(variables["params"], 11)`, `if len(params) != 3`.

Modules that move to a list are one entry of their parent, where each of them was one in Linen: what is counted
becomes `unlisted(variables["params"])`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.nnx.programs.order import values_of

_COLLECTIONS = frozenset({"params", "batch_stats"})
_TREE = re.compile(r"(?:\w+_)?(?:params|variables)")
_MADE = re.compile(r"(?:\[|\.(?:pop|get)\()['\"](?:params|batch_stats)['\"]")
#: The helper that lists the entries as Linen has them.
UNLISTED = "unlisted"


def changes_counts(names: Iterable[tuple[str, str]]) -> bool:
    """Whether modules, as pairs of old and new path, move to a list."""
    return any(new.count("/") > old.count("/") for old, new in names)


def counted_trees(module: Module) -> Iterator[ast.expr]:
    """Trees in a file whose entries are counted; whether there are none, or one, is as it was in Linen."""
    for call in module.nodes(ast.Call):
        name = last_name(call.func)
        if name == "assertLen" and len(call.args) >= 2:
            is_counted = not _is_small(call.args[1])
        elif name == "len" and len(call.args) == 1:
            is_counted = not _is_compared_with_few(module, call)
        else:
            continue
        tree = _tree(call.args[0])
        if is_counted and _is_tree(module, tree):
            yield tree


def _tree(node: ast.expr) -> ast.expr:
    """What `node` lists the names of, if it does."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys":
        return node.func.value
    return node


def _is_tree(module: Module, node: ast.expr) -> bool:
    """`variables["params"]`, `state.params`, and names for these."""
    if isinstance(node, ast.Subscript):
        key = node.slice
        if isinstance(key, ast.Constant) and key.value in _COLLECTIONS:
            return True
        return isinstance(key, ast.Constant) and isinstance(key.value, str) and _is_tree(module, node.value)
    if isinstance(node, ast.Attribute):
        return node.attr in _COLLECTIONS
    if not isinstance(node, ast.Name) or not _TREE.fullmatch(node.id):
        return False
    return any(_MADE.search(module.source.segment(value)) for value, _ in values_of(module, node))


def _is_compared_with_few(module: Module, count: ast.Call) -> bool:
    """`len(params) > 0`."""
    parent = module.parents[count]
    if not isinstance(parent, ast.Compare):
        return False
    return any(_is_small(other) for other in (parent.left, *parent.comparators))


def _is_small(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (0, 1)
