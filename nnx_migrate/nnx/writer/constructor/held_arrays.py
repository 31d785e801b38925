"""Fields that hold dicts of arrays: weights from a file, of which initializers take theirs.

Linen leaves fields alone. An NNX module takes arrays for state that it would have to be told about, and refuses them
elsewhere (`Found data on value of type 'dict' assigned to static attribute`), so such a dict is kept as one value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories.uses import given_arguments
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_of_self

HELPER = "static_dict"
_CONVERSIONS = frozenset(
    f"{package}.{name}" for package in ("jax.numpy", "numpy") for name in ("array", "asarray")
)


def holds_arrays(cls: LinenClass, name: str) -> bool:
    """Whether items of `self.name` become arrays, in the class or in the submodules that it gives them to."""
    return _holds(cls, name, frozenset())


def _holds(cls: LinenClass, name: str, seen: frozenset[tuple[LinenClass, str]]) -> bool:
    if (cls, name) in seen:
        return False
    seen |= {(cls, name)}
    for module, node in _code(cls):
        if isinstance(node, ast.Lambda) and _is_item(node.body, name):
            return True  # an initializer
        if not isinstance(node, ast.Call):
            continue
        called = cls.program_project.resolve(node.func, module.scope_at(node.func), module)
        if called in _CONVERSIONS and node.args and _is_item(node.args[0], name):
            return True
        target = cls.known_classes.get(called) if called is not None else None
        given = given_arguments(target, node) if target is not None else None
        for field, value in (given or {}).items():
            if target is not None and _is_given(value, name) and _holds(target, field, seen):
                return True
    return False


def array_container(analysis: ClassAnalysis, node: ast.Assign) -> str | None:
    """ "List" ("Dict") where `self.name = ...` keeps a list (dict) that has arrays, None elsewhere."""
    target, made = node.targets[0], node.value
    if len(node.targets) > 1 or not is_of_self(target):
        return None
    if any(v.place and v.attribute == target.attr for v in analysis.variables):
        return "Dict" if isinstance(made, ast.Dict) else "List"
    element = made.elt if isinstance(made, ast.ListComp) else None
    item = made.value if isinstance(made, ast.DictComp) else None
    for (_, known), value in analysis.facts.values.items():
        if known is element and isinstance(value, Array):
            return "List"
        if known is item and isinstance(value, Array):
            return "Dict"
        if known is not made:
            continue
        if isinstance(value, dict) and any(isinstance(item, Array) for item in value.values()):
            return "Dict"
        listed = isinstance(value, list | tuple) and any(isinstance(item, Array) for item in value)
        if listed or isinstance(value, ArrayList):
            return "List"
    return None


def _code(cls: LinenClass) -> Iterator[tuple[Module, ast.AST]]:
    for owner in cls.mro:
        for method in owner.own_methods.values():
            for node in all_below(method.node):
                yield owner.module, node


def _is_item(node: ast.expr, name: str) -> bool:
    """Whether an expression is `self.name["conv"]["kernel"]`."""
    if not isinstance(node, ast.Subscript):
        return False
    while isinstance(node, ast.Subscript):
        node = node.value
    return is_of_self(node, name)


def _is_given(node: ast.expr, name: str) -> bool:
    """Whether an argument is `self.name`, an item of it, or what a function takes from it: `get(self.name, "conv")`."""
    if isinstance(node, ast.Call):
        return any(_is_given(argument, name) for argument in node.args)
    if isinstance(node, ast.IfExp):
        return _is_given(node.body, name) or _is_given(node.orelse, name)
    return is_of_self(node, name) or _is_item(node, name)
