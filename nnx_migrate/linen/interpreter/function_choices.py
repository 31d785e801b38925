"""One of several functions without modules: an activation that a dict holds, or that a condition chooses."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.shapes import Global
from nnx_migrate.linen.values import Closure, FunctionChoice, Layer


def is_function(value: Any) -> bool:
    """Whether a value is a library function, an activation of Linen, or a lambda."""
    if isinstance(value, Layer):
        return not value.is_class
    return isinstance(value, Global) or (isinstance(value, Closure) and isinstance(value.node, ast.Lambda))


def either_function(a: Any, b: Any) -> FunctionChoice | None:
    """One of two functions (or choices of functions); None for anything else."""
    functions: list[Any] = []
    for value in (a, b):
        if isinstance(value, FunctionChoice):
            functions += value.functions
        elif is_function(value):
            functions.append(value)
        else:
            return None
    return FunctionChoice(tuple(functions))
