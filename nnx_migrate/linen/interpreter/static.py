"""Binding time: which expressions the constructor can compute just as the method does."""

from __future__ import annotations

import ast

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.values import (
    Bound,
    ClassChoice,
    ClassRef,
    Either,
    FieldFactory,
    Instance,
    Layer,
    Maybe,
    ModuleList,
    Partial,
    SelfValue,
)
from nnx_migrate.names.scopes import child_fields

_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MODULE_VALUES = (Instance, ModuleList, Maybe, Either)
_MODULE_CALLABLES = (Layer, ClassRef, ClassChoice, FieldFactory)
# Layers of flax.linen that are plain functions start with a lower-case letter; initializers are functions,
# too.


def is_static(frame: Frame, node: ast.AST, bound: frozenset[str] = frozenset()) -> bool:
    """Whether `node` depends on nothing but fields, constants and static locals, and creates no module.

    `bound` are names of its own.
    """
    return _static(frame, node, bound)


def is_repeatable(frame: Frame, node: ast.AST, bound: frozenset[str] = frozenset()) -> bool:
    """Whether `node` would be static if the constructor knew the variables that it reads; `bound` are its own."""
    return _static(frame, node, bound, any_variable=True)


def _static(frame: Frame, node: ast.AST, bound: frozenset[str], any_variable: bool = False) -> bool:
    if isinstance(node, ast.Name):
        return _name(frame, node, bound, any_variable)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        slot = frame.lookup(node.value.id)
        if slot is not None and isinstance(slot.value, SelfValue):
            return _self_attribute(frame, node.attr)
    if isinstance(node, ast.Call) and not _pure(frame, node):
        return False
    if isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
        return False
    if isinstance(node, _SCOPES):
        bound = bound | _names_bound(node)
    for name in child_fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, list):
            if not all(child is None or _static(frame, child, bound, any_variable) for child in value):
                return False
        elif value is not None and not _static(frame, value, bound, any_variable):
            return False
    return True


def _name(frame: Frame, node: ast.Name, bound: frozenset[str], any_variable: bool) -> bool:
    if node.id in bound:
        return True
    slot = frame.lookup(node.id)
    if slot is None:
        return True  # a global or builtin
    if isinstance(slot.value, SelfValue):
        return True
    return (slot.static or any_variable) and not isinstance(slot.value, _MODULE_VALUES)


def _self_attribute(frame: Frame, name: str) -> bool:
    session = frame.session
    slot = session.attributes.get(name)
    if slot is not None:
        return slot.static and not isinstance(slot.value, _MODULE_VALUES)
    if name in session.fields:
        return not isinstance(session.fields[name], _MODULE_VALUES)
    if session.cls.class_attribute(name) is not None:
        return True
    method = session.cls.method(name)
    return method is not None and (
        method.kind in ("static", "class") or method.is_nowrap or method.kind == "property"
    )


def _pure(frame: Frame, call: ast.Call) -> bool:
    """Calls of modules, of their classes and of the module's own effects can't be repeated in the
    constructor.
    """
    value = frame.session.facts.values.get((frame.context, call.func))
    if isinstance(value, Partial):
        inner = value.func
        while isinstance(inner, Partial):
            inner = inner.func
        value = inner
    if isinstance(value, Layer) and value.name[0].islower():
        return True
    if isinstance(value, (*_MODULE_CALLABLES, *_MODULE_VALUES)):
        return False
    if isinstance(value, Bound) and isinstance(value.value, SelfValue):
        method = frame.session.cls.method(value.name)
        return method is not None and (method.kind in ("static", "class") or method.is_nowrap)
    return not (isinstance(value, Bound) and isinstance(value.value, Instance))


def _names_bound(node: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    if isinstance(node, ast.Lambda):
        args = node.args
        names.update(a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs])
        names.update(a.arg for a in (args.vararg, args.kwarg) if a)
    else:
        for generator in node.generators:  # type: ignore[attr-defined]
            names.update(n.id for n in ast.walk(generator.target) if isinstance(n, ast.Name))
    return frozenset(names)
