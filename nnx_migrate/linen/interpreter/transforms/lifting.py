"""Lifted transforms of module classes: what members get of the arguments, and what becomes of their results."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.classes.lifts import LIFTS, METHOD_LIFTS, Lift, is_class, read_lift
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import input_array, text_of
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import ClassRef, Expr, FieldFactory, FieldModule, Input, Layer, Lifted
from nnx_migrate.names.nodes import is_of_self


def lift(frame: Frame, name: str, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    """`nn.remat(Block, ...)`: the class, transformed. Raises Refuse for everything else that `nn.remat` takes."""
    target = args[0] if args else kwargs.get("target")
    given = node.args[0] if node is not None and len(node.args) == 1 else None
    if name in LIFTS and given is not None and is_of_self(given) and _is_open(target):
        raise Refuse("unknown-module", f"the class behind `{ast.unparse(given)}` isn't known", node)
    if node is None or len(args) > 1 or name not in LIFTS or not is_class(target):
        raise Refuse("unsupported-layer", f"the lifted transform `nn.{name}`", node)
    if frame.context:
        return _lift_in_function(frame, name, kwargs, node, target)
    if any(k.arg is None for k in node.keywords):
        raise Refuse("unsupported-layer", f"the lifted transform `nn.{name}`", node)
    options = {str(k.arg): k.value for k in node.keywords if k.arg != "target"}
    return Lifted(read_lift(name, node, options), target)


def _is_open(target: Any) -> bool:
    """Whether a field may hold any class: nothing shows what it gets."""
    return isinstance(target, Expr | FieldModule | FieldFactory) or type(target) is Unknown


def _lift_in_function(frame: Frame, name: str, kwargs: dict[str, Any], node: ast.Call, target: Any) -> Lifted:
    """A transform in a function that the class calls: what it gives as arguments is known by its values."""
    spread = [k.value for k in node.keywords if k.arg is None]
    if any(evaluate(frame, value) != {} for value in spread):
        raise Refuse("unsupported-layer", f"the lifted transform `nn.{name}`", node)
    options: dict[str, ast.expr] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg == "target":
            continue
        value = kwargs.get(keyword.arg)
        text = text_of(value) or ""
        number = int(text) if re.fullmatch(r"-?\d+", text) else value
        given = isinstance(keyword.value, ast.Name) and (number is None or type(number) in (bool, int, str))
        options[keyword.arg] = ast.copy_location(ast.Constant(number), node) if given else keyword.value
    found = read_lift(name, node, options)
    count = options.get("axis_size" if name == "vmap" else "length")
    if count is None or (isinstance(count, ast.Constant) and count in [k.value for k in node.keywords]):
        return Lifted(found, target)
    members = text_of(kwargs.get("axis_size" if name == "vmap" else "length"))
    if members is None and not frame.outside:
        return Lifted(found, target)
    if members is None:
        raise Refuse("unknown-size", "the number of members that a function gets isn't known", node)
    return Lifted(replace(found, count=members), target)


def method_lifts(method: Method) -> tuple[Lift, ...]:
    """The lifted transforms that decorate a method, outermost first; other decorators are none."""
    found: list[Lift] = []
    for decorator in method.transforms:
        name, keywords = decorator_parts(method, decorator)
        if name in METHOD_LIFTS:
            found.append(read_lift(str(name), decorator, keywords))
    return tuple(found)


def call_lifts(frame: Frame, site: Site, method: str, node: ast.Call | None) -> tuple[Lift, ...]:
    """The transforms around a call of a submodule: of its class, and of the method itself."""
    own: tuple[Lift, ...] = ()
    if isinstance(site.target, ClassRef):
        found = site.target.cls.method(method)
        own = method_lifts(found) if found is not None and found.transforms else ()
    makes_carry = method == "initialize_carry" and isinstance(site.target, Layer)
    if makes_carry and not any(one.stacked for one in site.lifts):
        return ()  # only `__call__` is transformed
    if site.lifts and method != "__call__" and not frame.foreign:
        raise Refuse("unsupported-layer", f"`{method}` of a module with a lifted transform", node)
    return (*site.lifts, *own)


def decorator_parts(method: Method, decorator: ast.expr) -> tuple[str | None, dict[str, ast.expr]]:
    """The Linen function that decorates a method, and its options: `@nn.remat`, `@partial(nn.scan, in_axes=0)`."""
    resolve = method.owner.resolve_in_class
    if isinstance(decorator, ast.Call) and resolve(decorator.func) == "functools.partial":
        if len(decorator.args) == 1 and all(k.arg is not None for k in decorator.keywords):
            return linen_name(resolve(decorator.args[0])), {str(k.arg): k.value for k in decorator.keywords}
        return None, {}
    return (None, {}) if isinstance(decorator, ast.Call) else (linen_name(resolve(decorator)), {})


def member_arguments(frame: Frame, lifts: Sequence[Lift], args: Sequence[Any]) -> tuple[Any, ...]:
    """What one member gets of the arguments of a call."""
    values = list(args)
    for one in lifts:
        for position, value in enumerate(values):
            axis = one.axis(position) if one.maps else None
            if axis is not None:
                values[position] = _without(frame, value, axis)
    return tuple(values)


def joined_result(frame: Frame, lifts: Sequence[Lift], result: Any) -> Any:
    """The result of all members, from the result of one."""
    for one in reversed(lifts):
        if one.name == "vmap" and one.condition:
            result = _maybe_with(frame, result)
        elif one.name == "vmap":
            result = _with(frame, result, one.out_axes)
        elif one.name == "scan":
            if not isinstance(result, tuple) or len(result) != 2:
                return Unknown("a scanned module whose result isn't a pair")
            result = (result[0], _with(frame, result[1], one.out_axes))
    return result


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return change(value)


def _without(frame: Frame, value: Any, axis: int) -> Any:
    """A value without the mapped axis. The last axis is known to stay where an axis counted from 0 goes."""

    def change(item: Any) -> Any:
        if isinstance(item, Input):
            item = input_array(frame.session, item)
        if not isinstance(item, Array):
            return item if item is None else Unknown("part of a mapped argument")
        dims = item.shape.dims
        if item.shape.exact:
            if not -len(dims) <= axis < len(dims):
                return Unknown("a mapped axis that doesn't exist")
            left = [d for i, d in enumerate(dims) if i != axis % len(dims)]
            return Array(Shape(tuple(left)), item.dtype, item.weak)
        kept = dims[-1:] if axis == 0 else dims[len(dims) + axis + 1 :] if axis < 0 else ()
        return (
            Array(Shape(tuple(kept), ""), item.dtype, item.weak)
            if kept
            else Unknown("a mapped argument: its rank is not known")
        )

    return _mapped(value, change)


def _maybe_with(frame: Frame, value: Any) -> Any:
    """A value with an axis for the members in front, or without it."""

    def change(item: Any) -> Any:
        if isinstance(item, Input):
            item = input_array(frame.session, item)
        if not isinstance(item, Array):
            return item if item is None else Unknown("the result of one or several members")
        return Array(Shape(item.shape.dims, ""), item.dtype, item.weak)

    return _mapped(value, change)


def _with(frame: Frame, value: Any, axis: int) -> Any:
    """A value with a new axis for the members."""

    def change(item: Any) -> Any:
        if isinstance(item, Input):
            item = input_array(frame.session, item)
        if not isinstance(item, Array):
            return item if item is None else Unknown("a mapped result")
        dims = list(item.shape.dims)
        new = Dim.unknown("the number of members")
        if item.shape.exact:
            dims.insert(axis if axis >= 0 else len(dims) + 1 + axis, new)
            return Array(Shape(tuple(dims)), item.dtype, item.weak)
        if axis == 0:
            return Array(Shape(tuple(dims), ""), item.dtype, item.weak)
        return Unknown("a mapped result")

    return _mapped(value, change)
