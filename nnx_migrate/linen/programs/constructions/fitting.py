"""Whether a call can construct a class at all: where it can't, the class isn't what the call means.

`getattr(models, name)(num_classes=10)` means one of the module's `partial(ResNet, stage_sizes=...)`, not `ResNet`
itself, which would miss its `stage_sizes`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.dataflow.callees import Callee, parameter_of
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.uses import End
from nnx_migrate.names.modules import Module

_LINEN_FIELDS = frozenset({"name", "parent"})


@dataclass(frozen=True)
class Given:
    """How many arguments a call gives by position, and which by name."""

    positional: int
    names: frozenset[str]

    def fields(self, cls: LinenClass) -> set[str]:
        """The names of the fields of a class that it gives, and all other names."""
        return {item.name for item in cls.fields[: self.positional]} | self.names


def may_construct(cls: LinenClass, finder: FlowFinder, module: Module, node: ast.expr) -> bool:
    """Whether the value of an expression may be the class, judged by the calls that it gets."""
    if cls.method("__init__") is not None or cls.layer_base is not None or cls.problem or cls.mixins:
        return True
    flow = finder.follow(module, node, is_object=False)
    if not flow.uses or flow.is_bound:
        return True
    for use in flow.uses:
        given = given_by(finder, use.module, use.node) if isinstance(use.node, ast.Call) else None
        if use.end is not End.CALL or given is None or _fits(cls, given):
            return True
    return False


def _fits(cls: LinenClass, given: Given) -> bool:
    names = [item.name for item in cls.fields]
    defaults = set(cls.class_attributes) | {item.name for item in cls.fields if item.default is not None}
    for base in cls.mro[1:]:
        defaults |= set(base.class_attributes)
    return (
        given.positional <= len(names) + len(_LINEN_FIELDS)
        and given.names <= set(names) | _LINEN_FIELDS
        and set(names) <= given.fields(cls) | defaults
    )


def given_by(finder: FlowFinder, module: Module, call: ast.Call) -> Given | None:
    """The arguments of a call; None where they aren't all known."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    names: set[str] = set()
    for keyword in call.keywords:
        known = {keyword.arg} if keyword.arg is not None else _keys(finder, module, keyword.value)
        if known is None:
            return None
        names |= known
    return Given(len(call.args), frozenset(names))


def _keys(finder: FlowFinder, module: Module, node: ast.expr) -> set[str] | None:
    """The keys of `**kwargs` where that is a function's own parameter: what its calls give beyond the others."""
    scope = module.scope_at(node).binder(node.id) if isinstance(node, ast.Name) else None
    function = scope.node if scope is not None else None
    if (
        not isinstance(node, ast.Name)
        or not isinstance(function, ast.FunctionDef)
        or function.args.kwarg is None
        or function.args.kwarg.arg != node.id
        or len(scope.bindings[node.id] if scope is not None else ()) != 1
        or not _is_only_unpacked(module, function, node.id)
    ):
        return None
    flow = finder.function(module, function)
    if flow.escapes or not flow.results or flow.is_bound:
        return None
    keys: set[str] = set()
    callee = Callee(module, function, 1 if isinstance(module.parents[function], ast.ClassDef) else 0)
    for _, call in flow.results:
        if not isinstance(call, ast.Call):
            return None
        for keyword in call.keywords:
            if keyword.arg is None:
                return None
            if parameter_of(callee, call, keyword) == node.id:
                keys.add(keyword.arg)
    return keys


def _is_only_unpacked(module: Module, function: ast.FunctionDef, name: str) -> bool:
    """Whether nothing in a function changes its `**kwargs`."""
    uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name]
    return all(isinstance(parent := module.parents[use], ast.keyword) and parent.arg is None for use in uses)
