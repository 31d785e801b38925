"""Methods: of `self` and `super()`, submodules, arrays and Python's containers."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter.calls.choices import call_either
from nnx_migrate.linen.interpreter.convert import effect_arguments, input_array
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.function_choices import one_of_table
from nnx_migrate.linen.interpreter.functions import call_method
from nnx_migrate.linen.interpreter.ranks.patterns import learn_from_call
from nnx_migrate.linen.interpreter.records import REPLACING, changed
from nnx_migrate.linen.interpreter.state.variables import module_api
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules import modules
from nnx_migrate.linen.interpreter.submodules.homes import at_home
from nnx_migrate.linen.interpreter.subscripts import one_of
from nnx_migrate.linen.values import (
    Bound,
    Either,
    FieldModule,
    Input,
    Instance,
    Iterated,
    ModuleList,
    Record,
    SelfValue,
    SuperValue,
)


def call_bound(
    frame: Frame, bound: Bound, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """A call of a value's method."""
    value, name = bound.value, bound.name
    if isinstance(value, SelfValue):
        frame = at_home(frame, value.home)
        method = frame.session.cls.method(name)
        if method is not None:
            return call_method(frame, method, args, kwargs, node)
        return module_api(frame, name, args, kwargs, node)
    if isinstance(value, SuperValue):
        method = frame.session.cls.method_after(value.owner, name)
        if method is not None:
            return call_method(frame, method, args, kwargs, node)
        if name == "__call__" and frame.session.layer is not None:
            return frame.session.layer(args, kwargs)
        return None if name in ("setup", "__post_init__") else module_api(frame, name, args, kwargs, node)
    if isinstance(value, Instance):
        return modules.call_instance(frame, value, args, kwargs, node, name)
    if isinstance(value, Either):
        return call_either(frame, value, args, kwargs, node, name)
    if isinstance(value, FieldModule):
        return modules.call_field_module(frame, value, name, args, kwargs, node)
    if isinstance(value, Input | Record) and name in REPLACING and not args:
        return changed(value, kwargs)
    if isinstance(value, Array | Input):
        return _array_method(frame, value, name, args, kwargs, node)
    if isinstance(value, dict):
        if name in ("items", "keys", "values"):
            return Iterated(name, (value,))
        if name == "get" and args and isinstance(args[0], str | int):
            return value.get(args[0], args[1] if len(args) > 1 else None)
        if name == "copy":
            return dict(value)
        if name == "get" and len(args) == 2 and not kwargs:
            functions = one_of_table(frame, [*value.values(), args[1]])
            if functions is not None:
                return functions
        if name in ("get", "pop", "setdefault"):
            return one_of(frame, [*value.values(), *args[1:]])
        return Unknown(f"`{name}` of a dict")
    if isinstance(value, ModuleList) and name in ("items", "values", "keys"):
        return Iterated(name, (value,))
    if isinstance(value, str) and all(isinstance(a, str) for a in args) and not kwargs and hasattr(str, name):
        try:
            return getattr(value, name)(*args)
        except (TypeError, ValueError):
            return Unknown("a string method that fails")
    if isinstance(value, tuple | list) and name == "index" and node is not None and is_static(frame, node):
        return static_or_unknown(frame, node, "int")
    if isinstance(value, list) and name in ("append", "extend", "insert"):
        return None
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node)
    if isinstance(value, Unknown) and name == "reshape":  # the sizes that it gives may be all that is needed
        return _array_method(frame, value, name, args, kwargs, node)
    return Unknown(f"`{name}` can't be followed")


def _array_method(frame: Frame, value: Any, name: str, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    array = input_array(frame.session, value) if isinstance(value, Input) else value
    if name in ("set", "add", "multiply", "divide", "min", "max", "apply", "power") and _is_at(node):
        return array
    transfer = registry.method(name)
    if transfer is None:
        return Unknown(f"the array method `{name}` isn't modelled")
    values, keywords = effect_arguments(frame.session, args, kwargs)
    learn_from_call(frame, name, (array, *values), kwargs)
    return transfer(array, *values, **keywords)


def _is_at(node: ast.Call | None) -> bool:
    return (
        node is not None
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Subscript)
        and isinstance(node.func.value.value, ast.Attribute)
        and node.func.value.value.attr == "at"
    )
