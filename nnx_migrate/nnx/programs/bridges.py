"""Modules that hold Linen ones, as programs use them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.linen.programs.constructions.references import ClassReference, Role
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import ClassConversion

_BRIDGE = "ToNNX"


def is_behind_bridge(project: Project, reference: ClassReference) -> bool:
    """Whether a class is named to construct what `nnx.bridge.ToNNX` holds: an earlier run has left it Linen."""
    if reference.role is not Role.CONSTRUCTION:
        return False
    module, call = reference.module, reference.call
    holder = module.parents.get(call)
    if not isinstance(holder, ast.Call) or not holder.args or holder.args[0] is not call:
        return False
    found = project.resolve(holder.func, module.scope_at(holder.func), module) or ""
    return found.startswith("flax.nnx.") and found.endswith(f".{_BRIDGE}")


def lazy_obstacles(
    conversions: Mapping[LinenClass, ClassConversion],
    instances: Iterable[Instance],
    values: Iterable[ClassValue],
) -> Iterator[tuple[LinenClass, Obstacle]]:
    """Uses of modules that hold Linen ones in which no call with inputs initialises these."""
    for instance in instances:
        if conversions[instance.cls].is_lazy and instance.holders:
            where, detail = (
                instance.reference,
                f"`{instance.cls.name}`, which holds a Linen module, is handed on",
            )
            yield instance.cls, Obstacle("module-use", detail, where.module, where.node)
        elif conversions[instance.cls].is_lazy:
            for module, node in _looking_inside(instance):
                detail = f"a program may look inside of a Linen module that `{instance.cls.name}` holds"
                yield instance.cls, Obstacle("module-use", detail, module, node)
    for value in values:
        if conversions[value.cls].is_lazy and value.flow.vmapped:
            where, detail = value.reference, f"`nn.vmap` of `{value.cls.name}`, which holds a Linen module"
            yield value.cls, Obstacle("class-as-value", detail, where.module, where.node)


def _looking_inside(instance: Instance) -> Iterator[tuple[Module, ast.AST]]:
    """Uses of a module by code that may read submodules of what it holds: a bridge has their variables only."""
    yield from instance.flow.attributes("bind")
    yield from instance.applied
    for module, call in (*instance.inits, *instance.applies):
        for keyword in call.keywords:
            if keyword.arg == "method" and not isinstance(keyword.value, ast.Attribute | ast.Constant):
                yield module, call
