"""Binding time: which expressions the constructor can compute just as the method does."""

from __future__ import annotations

import ast
from functools import lru_cache

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.sizes.kept_numbers import is_plain
from nnx_migrate.linen.mixed_lists import MixedList
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
from nnx_migrate.names.nodes import children

_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NEVER = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
_MODULE_VALUES = (Instance, ModuleList, MixedList, Maybe, Either)
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
    for part, own in _deciding(node):
        if isinstance(part, ast.Name):
            static = _name(frame, part, bound | own if own else bound, any_variable)
        elif isinstance(part, ast.Attribute):
            static = _attribute(frame, part, bound | own if own else bound, any_variable)
            static = static or _is_kept(frame, part)
        else:
            static = isinstance(part, ast.Call) and _pure(frame, part)
        if not static:
            return False
    return True


@lru_cache(maxsize=1 << 14)
def _deciding(node: ast.AST) -> tuple[tuple[ast.AST, frozenset[str]], ...]:
    """The parts of a node that decide about it, each with the variables that lambdas and the like around it bind.

    These are names, attributes of names, calls, and what is never static.
    """
    found: list[tuple[ast.AST, frozenset[str]]] = []
    stack: list[tuple[ast.AST, frozenset[str]]] = [(node, frozenset())]
    while stack:
        part, bound = stack.pop()
        is_attribute = isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name)
        if is_attribute or isinstance(part, (ast.Name, ast.Call, *_NEVER)):
            found.append((part, bound))
        if is_attribute or isinstance(part, _NEVER):
            continue
        if isinstance(part, _SCOPES):
            bound |= _names_bound(part)
        stack += [(child, bound) for child in children(part)]
    return tuple(found)


def _attribute(frame: Frame, node: ast.Attribute, bound: frozenset[str], any_variable: bool) -> bool:
    assert isinstance(node.value, ast.Name)
    slot = frame.lookup(node.value.id)
    if slot is not None and isinstance(slot.value, SelfValue):
        return _self_attribute(frame, node.attr)
    return _name(frame, node.value, bound, any_variable)


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


def _is_kept(frame: Frame, module: ast.Attribute) -> bool:
    """Whether `setup` reads a number that a submodule keeps, which the constructor has made by then."""
    outer = frame.module.parents.get(module) if frame.method == "setup" else None
    value = (
        frame.session.facts.values.get((frame.context, outer)) if isinstance(outer, ast.Attribute) else None
    )
    return value is not None and is_plain(value)


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
