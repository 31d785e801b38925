"""Calls with `*args` of unknown length that reach code of the project: `self.initialize_carry(*state.shape)`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Shape, Unknown
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.interpreter.calls.arguments import escapes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.ranks.patterns import rank_needed
from nnx_migrate.linen.values import Bound, ClassChoice, ClassRef, Closure, Input, Instance, SelfValue, Spread

HIDDEN = Unknown("an argument that `*` may give")
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def own_function(frame: Frame, target: Any) -> tuple[_Function, bool] | None:
    """The code of what is called, and whether it binds `self` first; None where the code isn't known."""
    if isinstance(target, Bound) and isinstance(target.value, SelfValue):
        method = frame.session.cls.method(target.name)
        return None if method is None else (method.node, method.kind != "static")
    return (target.node, False) if isinstance(target, Closure) else None


def hides_arrays_only(node: ast.Call, args: tuple[Any, ...]) -> bool:
    """Whether `*` alone hides arguments, and no submodules among them."""
    by_name = any(keyword.arg is None for keyword in node.keywords)
    return not by_name and any(isinstance(a, Spread) for a in args) and not escapes(args)


def with_sizes(
    frame: Frame, function: tuple[_Function, bool], node: ast.Call, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The arguments of `f(*x.shape)` with the sizes in place of the shape.

    A function that takes exactly two sizes says that the array has two axes; others tell nothing.
    """
    code, binds_self = function
    spec = code.args
    if spec.vararg is not None or spec.defaults or not args or not isinstance(args[-1], Spread):
        return args
    *first, last = args
    if any(isinstance(a, Spread) for a in first) or not isinstance(last.value, Shape) or last.value.exact:
        return args
    shape = last.value
    places = len(spec.posonlyargs) + len(spec.args) - binds_self - len(first) - len(node.keywords)
    rank_needed(frame, shape, places)
    if node.keywords or places < len(shape.dims):
        return args
    return (*first, *(shape.dim(axis) for axis in range(-places, 0)))


def hidden_arguments(
    frame: Frame, target: Any, node: ast.Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """What `block(x, *args, **kwargs)` may give a module of the project besides `args` and `kwargs`: unknown values.

    None unless these are what the method itself gets, behind arguments that are written out.
    """
    methods = _may_call(target)
    spread = [a.value for a in node.args if isinstance(a, ast.Starred)]
    named = [k.value for k in node.keywords if k.arg is None]
    if not methods or not args or spread != [a.value for a in node.args[-1:] if isinstance(a, ast.Starred)]:
        return None
    for value in (*spread, *named):
        slot = frame.lookup(value.id) if isinstance(value, ast.Name) else None
        if slot is None or not (isinstance(slot.value, Input) or slot.value in (HIDDEN, {})):
            return None
    others = others_by_name(target, args, kwargs)
    by_position = {name for method in methods for name in _by_position(method)}
    return {name: value for name, value in others.items() if named or name in by_position}


def others_by_name(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a call may give a module of the project besides `args` and `kwargs`: unknown values."""
    found: dict[str, Any] = {}
    for method in _may_call(target):
        by_position = _by_position(method)[1:]
        taken = set(by_position[: len(args)]) | kwargs.keys()
        names = [*by_position, *(a.arg for a in method.node.args.kwonlyargs)]
        found |= {name: Unknown("an argument that `*` or `**` gives") for name in names if name not in taken}
    return found


def called(target: Any) -> Method | None:
    """The method that a call of a module of the project reaches."""
    is_own = isinstance(target, Instance) and isinstance(target.site.target, ClassRef)
    return target.site.target.cls.method("__call__") if is_own else None


def _may_call(target: Any) -> list[Method]:
    """The methods one of which a call of a module of the project reaches; none where one of them isn't known."""
    is_chosen = isinstance(target, Instance) and isinstance(target.site.target, ClassChoice)
    classes = target.site.classes if is_chosen else ()
    methods = [cls.method("__call__") for cls in classes] if is_chosen else [called(target)]
    return [method for method in methods if method is not None] if None not in methods else []


def _by_position(method: Method) -> list[str]:
    spec = method.node.args
    return [a.arg for a in (*spec.posonlyargs, *spec.args)]
