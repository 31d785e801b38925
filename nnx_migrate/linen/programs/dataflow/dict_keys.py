"""Loops over the keys and modules of a dictionary that a module has as a field."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nnx_migrate.names.nodes import is_of_self

_READING = frozenset({"copy", "get", "items", "keys", "values"})
_BUILTIN = frozenset({"dict", "isinstance", "len", "list", "set", "sorted", "tuple"})


def same_keys(test: ast.expr) -> Iterator[tuple[str, str]]:
    """The local dictionary, and that of `self`, which have the same keys where a test isn't true.

    `inputs.keys() != self.modules.keys()`, `set(inputs) != set(self.modules)`.
    """
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.NotEq):
        sides = [_keys_of(test.left), _keys_of(test.comparators[0])]
        for one, other in (sides, sides[::-1]):
            if isinstance(one, ast.Name) and other is not None and is_of_self(other):
                yield one.id, other.attr


@dataclass(frozen=True)
class Run:
    """A loop over all keys of the dictionary `self.table`: the variables for keys and modules, "" for none."""

    key: str = ""
    item: str = ""
    table: str = ""


def runs_over(loop: ast.For, alike: Mapping[str, str]) -> Run:
    """What a loop over a dictionary of `self`, or over a local one that is `alike`, has in its variables."""
    if any(isinstance(n, ast.Break | ast.Continue | ast.Return | ast.Raise) for n in ast.walk(loop)):
        return Run()
    node, target, listing = loop.iter, loop.target, "keys"
    if isinstance(node, ast.Call) and not node.args and not node.keywords:
        function = node.func
        if isinstance(function, ast.Attribute):
            node, listing = function.value, function.attr
    is_own = is_of_self(node)
    table = node.attr if is_of_self(node) else alike.get(node.id, "") if isinstance(node, ast.Name) else ""
    if listing == "items" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        key, item = (_only_there(loop, part) for part in target.elts)
    elif listing == "keys":
        key, item = _only_there(loop, target), ""
    elif listing == "values":
        key, item = "", _only_there(loop, target)
    else:
        return Run()
    return Run(key, item if is_own else "", table) if table else Run()


def changed(function: ast.AST) -> frozenset[str]:
    """The local dictionaries that a function may give other keys: it does more with them than to read them."""
    found: set[str] = set()
    harmless: set[ast.AST] = set()
    for node in ast.walk(function):  # what is within a node comes later
        if (isinstance(node, ast.Attribute) and node.attr in _READING) or (
            isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
        ):
            harmless.add(node.value)
        elif isinstance(node, ast.For):
            harmless.add(node.iter)
        elif isinstance(node, ast.Compare):
            harmless.update([node.left, *node.comparators])
        elif isinstance(node, ast.FormattedValue) or (isinstance(node, ast.keyword) and node.arg is None):
            harmless.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BUILTIN:
            harmless.update(node.args)
        elif isinstance(node, ast.Name) and node not in harmless:
            found.add(node.id)
    return frozenset(found)


def _only_there(loop: ast.For, target: ast.expr) -> str:
    """The name of a loop's variable that nothing in the loop binds anew."""
    if not isinstance(target, ast.Name):
        return ""
    bound = [n for n in ast.walk(loop) if isinstance(n, ast.Name) and n.id == target.id and n is not target]
    return target.id if all(isinstance(n.ctx, ast.Load) for n in bound) else ""


def listed_by(node: ast.expr, method: str) -> ast.expr | None:
    """`inputs` of `inputs.items()`, for the method `items`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
        return None if node.args or node.keywords else node.func.value
    return None


def _keys_of(node: ast.expr) -> ast.expr | None:
    """`inputs` of `inputs.keys()` and `set(inputs)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "set":
        return node.args[0] if len(node.args) == 1 and not node.keywords else None
    return listed_by(node, "keys")
