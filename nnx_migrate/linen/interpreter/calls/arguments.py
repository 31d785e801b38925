"""What a call is given: the values of its arguments, and whether submodules are among them."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Shape
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.values import (
    BuiltList,
    Either,
    GraphFunction,
    Instance,
    LostModule,
    Maybe,
    ModuleList,
    SelfValue,
    Spread,
)


def arguments(frame: Frame, node: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """Evaluated arguments; the flag is False where `*args` (a `Spread` among them) or `**kwargs` hide some."""
    args: list[Any] = []
    certain = True
    for argument in node.args:
        value = frame.arguments[argument] = evaluate(frame, argument)
        if isinstance(argument, ast.Starred):
            if isinstance(value, Shape) and value.exact:
                value = value.items()
            if isinstance(value, tuple | list):
                args.extend(value)
            else:
                args.append(Spread(value))
                certain = False
        else:
            args.append(value)
    kwargs: dict[str, Any] = {}
    for keyword in node.keywords:
        value = evaluate(frame, keyword.value)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif isinstance(value, dict):
            kwargs.update(value)
        else:
            certain = False
    return tuple(args), kwargs, certain


def escapes(values: Any) -> bool:
    """Whether a submodule is among the values."""
    if isinstance(values, tuple | list):
        return any(escapes(value) for value in values)
    if isinstance(values, dict):
        return any(escapes(value) for value in values.values())
    if isinstance(values, Maybe):
        return escapes(values.value)
    if isinstance(values, Spread):
        return escapes(values.value)
    if isinstance(values, GraphFunction):
        return escapes(tuple(value for _, value in values.given))
    return isinstance(
        values, (Instance | ModuleList | MixedList | BuiltList | Either | LostModule, SelfValue)
    )
