"""Calls of `init` and `apply`: which method they run and which argument goes where."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.classes.model import Method
from nnx_migrate.names.parameters import defaults


def method_of(call: ast.Call) -> str:
    """The method that a call of `init` or `apply` runs; "" where it isn't clear."""
    for keyword in call.keywords:
        if keyword.arg == "method":
            if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str | None):
                return keyword.value.value or "__call__"
            return keyword.value.attr if isinstance(keyword.value, ast.Attribute) else ""
    return "__call__"


def argument_of(call: ast.Call, method: Method, name: str) -> ast.expr | None:
    """The argument for a parameter of the method; the first of the call's own is the key or the variables."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    args = method.node.args
    names = [a.arg for a in [*args.posonlyargs, *args.args]][1:]
    own = call.args[1:]
    if (
        any(isinstance(a, ast.Starred) for a in call.args)
        or name not in names
        or names.index(name) >= len(own)
    ):
        return None
    return own[names.index(name)]


def is_left_out(call: ast.Call, method: Method | None, name: str) -> bool:
    """Whether a call surely gives a parameter of the method no value but None, its default.

    One without a default can't be left out: such a call is another model's, which the same variable may hold.
    """
    if method is None or any(isinstance(a, ast.Starred) for a in call.args):
        return False
    if any(keyword.arg is None for keyword in call.keywords):
        return False
    given = argument_of(call, method, name)
    if given is None:
        return any(arg.arg == name for arg, _ in defaults(method.node.args))
    return isinstance(given, ast.Constant) and given.value is None


def argument_at(
    call: ast.Call, method: Method, path: Sequence[str | int]
) -> tuple[ast.expr | None, tuple[str | int, ...]]:
    """The argument that a path leads to, an item of the method's `*args` being one, and the path within it."""
    item = _item(method, path)
    if item is None:
        return argument_of(call, method, str(path[0])), tuple(path[1:])
    own = call.args[1:]
    shown = item < len(own) and not any(isinstance(a, ast.Starred) for a in own[: item + 1])
    return own[item] if shown else None, tuple(path[2:])


def lacks_item(call: ast.Call, method: Method | None, path: Sequence[str | int]) -> bool:
    """Whether a path leads to an item of the method's `*args`, and the call doesn't give so many by position."""
    item = _item(method, path) if method is not None else None
    own = call.args[1:]
    return item is not None and len(own) <= item and not any(isinstance(a, ast.Starred) for a in own)


def _item(method: Method, path: Sequence[str | int]) -> int | None:
    """The position of the argument of `*args` that a path leads to, if it does."""
    vararg = method.node.args.vararg
    if vararg is None or vararg.arg != path[0] or len(path) < 2:
        return None
    return len(method.parameters) - len(method.node.args.kwonlyargs) + int(path[1])
