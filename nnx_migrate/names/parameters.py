"""The parameters of a function as its signature states them."""

from __future__ import annotations

import ast


def defaults(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr]]:
    """Parameters that have a default, with it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    last = positional[len(positional) - len(arguments.defaults) :]
    keyword = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs = [*zip(last, arguments.defaults, strict=True), *keyword]
    return [(arg, default) for arg, default in pairs if default is not None]
