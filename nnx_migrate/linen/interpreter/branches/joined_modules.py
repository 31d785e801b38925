"""What is left of modules where two paths meet: one of them, lists that each path makes, something that may be None."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Global
from nnx_migrate.linen.classes.lifts import chosen, either_lifts
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import (
    BuiltList,
    Closure,
    Either,
    Expr,
    FieldModule,
    FunctionChoice,
    GraphFunction,
    Instance,
    Layer,
    LostModule,
    Maybe,
    ModuleList,
)


def rematerialised(frame: Frame, a: Any, b: Any, node: ast.AST) -> Any:
    """A class with and without `nn.remat`, told apart by a condition over fields; None for anything else."""
    condition = _condition(frame, node)
    return chosen(a, b, condition) if condition is not None else None


def _condition(frame: Frame, node: ast.AST) -> str | None:
    """The condition over fields that decides between two paths; None for others."""
    condition = frame.session.conditions.get((frame.context, node))
    if condition is None or TOKEN.search(condition):
        return None
    return condition if '"' in condition else condition.replace("'", '"')


def holds_module(value: Any) -> bool:
    """Whether a value is a submodule, or may be one."""
    if isinstance(value, Maybe):
        return holds_module(value.value)
    return isinstance(value, Instance | ModuleList | MixedList | BuiltList | Either | LostModule)


def _given_module(frame: Frame, value: Any) -> Any:
    """A field that the project gives nothing but modules of its classes, as such a module."""
    if isinstance(value, Expr) and not frame.foreign:
        name = value.text.removeprefix("self.")
        if name.isidentifier() and frame.session.fields.get(name) == value:
            return FieldModule(name) if frame.session.given(name) is not None else value
    return value


def either(frame: Frame, a: Any, b: Any, node: ast.AST) -> Either | Maybe | None:
    """A module on one path, another one or a function on the other; either may be missing in some configurations."""
    values: dict[Any, Any] = {}
    is_optional = False
    kinds = (Instance, FieldModule, Closure, FunctionChoice, Global, Layer)
    if isinstance(a, Instance) or isinstance(b, Instance):
        a, b = _given_module(frame, a), _given_module(frame, b)
    for value in (a, b):
        inner = value.value if isinstance(value, Maybe) else value
        if not (inner is None or isinstance(inner, (*kinds, Either))):
            return None
        is_optional |= inner is not value or inner is None
        for one in inner.values if isinstance(inner, Either) else (inner,):
            if one is not None:  # a function is made anew in every round of a loop
                values.setdefault(one.node if isinstance(one, Closure) else one, one)
    plain = len(values) == 2 and not is_optional and not isinstance(a, Either) and not isinstance(b, Either)
    found = Either(tuple(values.values()), (frame.context, node) if plain else None)
    if any(isinstance(v, Layer) and v.is_class for v in found.values):
        return None
    if not any(isinstance(v, Instance) for v in found.values):
        return None
    return Maybe(found) if is_optional else found


def either_list(frame: Frame, a: Any, b: Any, node: ast.AST) -> ModuleList | None:
    """Two lists of the same modules, or such as differ in nothing but `nn.remat`, as each branch makes its own."""
    if not (isinstance(a, ModuleList) and isinstance(b, ModuleList)) or frame.foreign:
        return None
    first, second = a.element, b.element
    if not (isinstance(first, Instance) and isinstance(second, Instance) and is_alike(first, second)):
        return None
    if first.site.method != "setup" or second.site.method != "setup":
        return None  # elsewhere, Linen names a module after its transform
    condition = _condition(frame, node)
    if condition is None:
        return None
    lifts = either_lifts(first.site.lifts, second.site.lifts, condition)
    if lifts is None:
        return None
    first.site.lifts = second.site.lifts = lifts
    others = (b.rounds,) if b.rounds is not None else ()
    return ModuleList(Either((first, second)), a.rounds if others else None, others=others)


def optional(frame: Frame, a: Any, b: Any, node: ast.AST) -> Maybe | None:
    """A module or function on one path, None (or perhaps the same) on the other."""
    inner = [value.value if isinstance(value, Maybe) else value for value in (a, b)]
    if any(isinstance(value, ModuleList) for value in inner):
        inner = [None if value == [] else value for value in inner]  # an empty list of modules
    there = [value for value in inner if value is not None]
    alike = _alike(inner) if frame.foreign else None
    if alike is not None:
        return Maybe(ModuleList(alike))
    if None not in inner and not isinstance(a, Maybe) and not isinstance(b, Maybe):
        return None
    if not there or any(value != there[0] for value in there):
        return None
    held = isinstance(there[0], Instance | ModuleList | Closure | Global | GraphFunction | Layer)
    decides = len(there) == 1 and not isinstance(a, Maybe) and not isinstance(b, Maybe)  # by itself
    branch = (frame.context, node) if decides else None
    return Maybe(there[0], branch, holds=b is None) if held else None


def _alike(values: list[Any]) -> Instance | None:
    """One of the modules in two lists of different length, if all are made with the same arguments."""
    modules: list[Any] = []
    lists = [v for v in values if isinstance(v, list | ModuleList)]
    for value in lists:
        modules += value if isinstance(value, list) else [value.element]
    if len(lists) < 2 or not modules or lists[0] == lists[1]:
        return None
    if not all(isinstance(m, Instance) and is_alike(m, modules[0]) for m in modules):
        return None
    return modules[0]  # type: ignore[no-any-return]


def is_alike(a: Instance, b: Instance) -> bool:
    """Whether two modules are of the same class and made with the same arguments, but perhaps for their name."""
    first, second = ({k: v for k, v in m.site.kwargs.items() if k != "name"} for m in (a, b))
    return a.site.target == b.site.target and a.site.args == b.site.args and first == second
