"""Lists and dicts of modules within others: NNX finds modules only where each container is one of its own."""

from __future__ import annotations

import ast
from collections.abc import Container
from typing import TYPE_CHECKING, TypeGuard

from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.values import ModuleList
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.names.parents import Parents

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.constructor.setup import SetupWriter

Display = ast.List | ast.Tuple | ast.Dict


def is_nested(node: ast.AST, made: Container[ast.AST], parents: Parents) -> TypeGuard[Display]:
    """Whether a display lists modules, and is an element of another list or dict.

    `made` are the calls that make modules.
    """
    if not isinstance(node, Display) or not _lists_modules(node, made):
        return False
    around = parents.get(node)
    if isinstance(around, ast.List | ast.Tuple | ast.ListComp):
        return True
    if isinstance(around, ast.Dict):
        return node in around.values
    if isinstance(around, ast.DictComp):
        return node is around.value
    return (
        isinstance(around, ast.Call)
        and isinstance(around.func, ast.Attribute)
        and around.func.attr == "append"
    )


def elements(node: Display) -> list[ast.expr]:
    """The items of a list, the values of a dict."""
    return node.values if isinstance(node, ast.Dict) else node.elts


def _lists_modules(node: Display, made: Container[ast.AST]) -> bool:
    return any(
        item in made or (isinstance(item, Display) and _lists_modules(item, made)) for item in elements(node)
    )


def is_unpacked_list(setup: SetupWriter, node: ast.expr) -> bool:
    """Whether this is `layers` in `self.layers, self.norms = layers, norms`, a list of modules."""
    parents = setup.names.module.parents
    values = parents.get(node)
    if not isinstance(values, ast.Tuple) or node in setup.sites:
        return False
    statement = parents.get(values)
    if not isinstance(statement, ast.Assign) or statement.value is not values:
        return False
    targets = statement.targets[0]
    if not isinstance(targets, ast.Tuple) or len(targets.elts) != len(values.elts):
        return False
    target = targets.elts[values.elts.index(node)]
    slot = setup.analysis.session.attributes.get(target.attr) if is_of_self(target) else None
    held = slot.value if slot is not None else None
    return isinstance(node, ast.Name | ast.ListComp) and isinstance(held, ModuleList | MixedList | list)


def joins_lists(node: ast.expr) -> bool:
    """Whether this adds up lists of Python's own: an `nnx.List`, which attributes hold, can't be added to one."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and joins_lists(node.left) and joins_lists(node.right)
    return isinstance(node, ast.List | ast.ListComp | ast.Name)
