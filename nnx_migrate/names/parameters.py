"""The parameters of a function as its signature states them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import takewhile


def defaults(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr]]:
    """Parameters that have a default, with it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    last = positional[len(positional) - len(arguments.defaults) :]
    keyword = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs = [*zip(last, arguments.defaults, strict=True), *keyword]
    return [(arg, default) for arg, default in pairs if default is not None]


def arguments_by_name(call: ast.Call, parameters: Iterable[str]) -> dict[str, ast.expr]:
    """What a call gives by position, as far as no `*` hides it, and by keyword."""
    given = dict(
        zip(parameters, takewhile(lambda a: not isinstance(a, ast.Starred), call.args), strict=False)
    )
    return given | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
