"""What a recorded call of a submodule gives to one argument, or to a part of one, and the order of arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.sites import LayerCall
from nnx_migrate.linen.values import Attribute, Input, Record, Spread


def bound_argument(cls: LinenClass, call: LayerCall, name: str, optional: bool = False) -> Any:
    """The argument of this name; where the call leaves it out, None if it is `optional`, else unknown."""
    method = cls.method(call.method)
    assert method is not None
    parameters = method.parameters
    if name in call.kwargs:
        return call.kwargs[name]
    vararg = method.node.args.vararg
    if vararg is not None and vararg.arg == name:
        return call.args[len(parameters) - len(method.node.args.kwonlyargs) :]
    index = parameters.index(name) if name in parameters else len(call.args)
    if any(isinstance(value, Spread) for value in call.args[: index + 1]):
        return Unknown("an argument that `*` may give")
    if index < len(call.args):
        return call.args[index]
    return None if optional else Unknown(f"argument `{name}` isn't given")


def at_path(value: Any, path: tuple[str | int, ...]) -> Any:
    """A part of an argument: an item, key or attribute."""
    for part in path:
        if isinstance(value, dict) and part in value:  # noqa: SIM114
            value = value[part]
        elif isinstance(value, tuple | list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif isinstance(value, Record) and isinstance(part, Attribute):
            value = dict(value.items).get(part, Input((*value.base.path, part)) if value.base else None)
        elif isinstance(value, Input):
            value = Input((*value.path, part))
        elif isinstance(value, Array) and isinstance(part, int):
            value = Array(Shape(value.shape.dims[1:], value.shape.lead))
        else:
            return Unknown("a part of an argument")
    return value


def argument_at(call: LayerCall, index: int, name: str) -> Any:
    """The argument of a layer by position or name, None where the call leaves it out."""
    if index < len(call.args):
        return call.args[index]
    return call.kwargs.get(name)


def in_order(parts: Iterable[tuple[int, list[str]]]) -> list[str]:
    """The arguments of partials and of a call of the last one; so many of each are given by position.

    Keywords take the place of the same ones of a partial before.
    """
    positional: list[str] = []
    named: dict[str, str] = {}
    for count, arguments in parts:
        positional += arguments[:count]
        for argument in arguments[count:]:
            key = argument if argument.startswith("**") else argument.partition("=")[0]
            named.pop(key, None)
            named[key] = argument
    return [*positional, *named.values()]
