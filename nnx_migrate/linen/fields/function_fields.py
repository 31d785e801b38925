"""Fields that hold a function: `pool: Callable = jraph.segment_mean`, `InceptionE(nn.max_pool)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from nnx_migrate.linen.arrays.shapes import Global
from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.factories.uses import FactoryUses
from nnx_migrate.linen.fields.activations import is_activation_name, is_elementwise
from nnx_migrate.linen.symbols import canonical, linen_name
from nnx_migrate.linen.values import Closure, FunctionChoice, Layer
from nnx_migrate.names.modules import Module


def known_functions(cls: LinenClass, uses: FactoryUses) -> dict[str, Any]:
    """What fields hold to which every construction in the project gives a function whose effect is known."""
    found: dict[str, Any] = {}
    for item in cls.fields:
        if _may_hold_function(cls, item) and _is_only_called(cls, item.name):
            functions = _given(cls, item, uses)
            if functions:
                found[item.name] = functions[0] if len(functions) == 1 else FunctionChoice(tuple(functions))
    return found


def _may_hold_function(cls: LinenClass, item: Field) -> bool:
    """Whether a field's default is a function, or its annotation says so; activations keep shapes anyway."""
    if isinstance(item.default, ast.Name | ast.Attribute):
        name = cls.resolve_in_class(item.default)
        return name is not None and not is_elementwise(name)
    declared = isinstance(item.annotation, ast.Name | ast.Attribute | ast.Subscript)
    return declared and "Callable" in ast.unparse(item.annotation) and not is_activation_name(item.name)


def _is_only_called(cls: LinenClass, field: str) -> bool:
    """Whether all that methods do with a field is to call it, at least once."""
    nodes = [
        (owner.module, node)
        for owner in cls.mro
        for method in owner.own_methods.values()
        for node in ast.walk(method.node)
        if isinstance(node, ast.Attribute) and node.attr == field
    ]
    parents = [(module.parents.get(node), node) for module, node in nodes]
    return bool(nodes) and all(isinstance(call, ast.Call) and call.func is node for call, node in parents)


def _given(cls: LinenClass, item: Field, uses: FactoryUses) -> list[Any] | None:
    """The functions that constructions give, None where one gives something else or can't be seen."""
    found: dict[Any, Any] = {}
    for module, node in _arguments(cls, item, uses):
        if node is None:
            return None
        key, function = _function(module, node, uses)
        if function is None:
            return None
        found[key] = function
    return list(found.values())


def _arguments(cls: LinenClass, item: Field, uses: FactoryUses) -> Iterator[tuple[Module, ast.expr | None]]:
    """What the constructions of a class and its relatives give a field; None for one that can't be seen."""
    for relative in uses.program:
        own = relative.field(item.name)
        if own is None or not (cls in relative.mro or relative in cls.mro):
            continue
        constructions = uses.of(relative, item.name)
        if constructions is None:
            yield relative.module, None
        for use in constructions or ():
            if item.name in use.arguments:
                yield use.module, use.arguments[item.name]
            else:
                yield own.owner.module, own.default


def _function(module: Module, node: ast.expr, uses: FactoryUses) -> tuple[Any, Any]:
    """The function that an expression names, with what tells it from others."""
    project = uses.program.project
    name = canonical(project.resolve(node, module.scope_at(node), module))
    if name is not None and registry.effect(name) is not None:
        linen = linen_name(name)
        return name, Global(name) if linen is None or "." in linen else Layer(linen)
    definition = project.definition(name) if name is not None else None
    if definition is not None and isinstance(definition.node, ast.FunctionDef):
        if not definition.node.decorator_list:
            return definition.node, Closure(definition.node, definition.module)
    return name, None
