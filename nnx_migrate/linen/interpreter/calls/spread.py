"""Calls with `*args` of unknown length that reach code of the project: `self.initialize_carry(*state.shape)`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.interpreter.calls.arguments import escapes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.ranks import rank_needed
from nnx_migrate.linen.shapes import Shape
from nnx_migrate.linen.values import Bound, Closure, SelfValue, Spread

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


def learn_from_spread(
    frame: Frame, function: tuple[_Function, bool], node: ast.Call, args: tuple[Any, ...]
) -> None:
    """A function that takes exactly two sizes says that the array of `f(*x.shape)` has two axes."""
    code, binds_self = function
    spec = code.args
    spreads = [a for a in args if isinstance(a, Spread)]
    if spec.vararg is not None or spec.defaults or len(spreads) != 1:
        return
    shape = spreads[0].value
    if isinstance(shape, Shape) and not shape.exact:
        places = len(spec.posonlyargs) + len(spec.args) - binds_self
        rank_needed(frame, shape, places - (len(args) - 1) - len(node.keywords))
