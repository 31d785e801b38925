"""Fields that hold a class of the project, which code compares with one: `self.block_class == PreActBlock`.

Such a field is an attribute in NNX, too: both sides are then the converted classes. So is one that may hold nothing:
`if self.norm is not None:`.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_none, is_of_self

_EQUALITY = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)


def compares_classes(program: LinenProgram, module: Module, node: ast.AST | None) -> bool:
    """Whether an expression asks if the class that a field holds is a certain one of the project."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], _EQUALITY):
        return False
    field, other = node.left, node.comparators[0]
    if is_of_self(other):
        field, other = other, field
    if not is_of_self(field) or not isinstance(other, ast.Name | ast.Attribute) or is_of_self(other):
        return False
    return program.find(program.meaning(other, module)) is not None


def asks_for_none(node: ast.AST | None) -> bool:
    """Whether an expression asks if a field holds anything: `self.norm is not None`."""
    return isinstance(node, ast.Compare) and _asked_for_none(node) != ""


def _asked_for_none(node: ast.Compare) -> str:
    plain = (
        len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot) and is_none(node.comparators[0])
    )
    return node.left.attr if plain and is_of_self(node.left) else ""


def kept_fields(program: LinenProgram, cls: LinenClass) -> frozenset[str]:
    """The names of fields that stay attributes although they hold what makes modules.

    Code of the class, or of one that shares its methods, asks what they hold.
    """
    family = {owner for one in program if cls in one.mro or one in cls.mro for owner in one.mro}
    tests = (n for owner in family for n in all_below(owner.node) if isinstance(n, ast.Compare))
    return compared_fields(program, cls) | {name for test in tests if (name := _asked_for_none(test))}


def compared_fields(program: LinenProgram, cls: LinenClass) -> frozenset[str]:
    """The names of a class's fields that its code compares with classes."""
    return frozenset(
        node.attr
        for owner in cls.mro
        for node in all_below(owner.node)
        if is_of_self(node) and compares_classes(program, owner.module, owner.module.parents.get(node))
    )
