"""Initializers that a project writes, and whose code doesn't show a shape: most give the one that they are asked for.

Some don't: they list the parts of complex numbers on an axis of their own, or take a range for a shape.

    self.param("B", lambda rng, shape: np.stack([...], axis=-1), (self.states, self.width))
    self.param("log_step", init_log_steps, (self.states, self.dt_min, self.dt_max))
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.values import Closure, Expr
from nnx_migrate.names.modules import Module

_MAX_DEPTH = 3
_RESHAPING = frozenset(
    {"concatenate", "concat", "stack", "hstack", "vstack", "dstack", "column_stack", "tile", "repeat"}
    | {"reshape", "ravel", "flatten", "expand_dims", "squeeze", "transpose", "swapaxes", "moveaxis"}
    | {"T", "mT", "newaxis", "pad", "diag", "outer", "einsum", "kron"}
)


def gives_what_it_is_asked_for(frame: Frame, init: Closure, asked: Any) -> bool:
    """Whether an initializer gives an array of the shape that it gets first, by all that its code says."""
    items = asked if isinstance(asked, tuple | list) else (asked,)
    if any(isinstance(i, float) or (isinstance(i, Expr) and i.kind == "float") for i in items):
        return False
    return not any(_reshapes(node) for node in _code(frame, init.module, init.node, _MAX_DEPTH))


def _code(frame: Frame, module: Module, function: ast.AST, depth: int) -> Iterator[ast.AST]:
    """What a function says, with the functions of the project that it names."""
    project = frame.session.program.project
    for node in ast.walk(function):
        yield node
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load) and depth:
            qualified = project.resolve(node, module.scope_at(node), module)
            definition = project.definition(qualified) if qualified else None
            if definition is not None and isinstance(definition.node, ast.FunctionDef):
                if definition.node is not function:
                    yield from _code(frame, definition.module, definition.node, depth - 1)


def _reshapes(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute | ast.Name):
        return (node.attr if isinstance(node, ast.Attribute) else node.id) in _RESHAPING
    if not isinstance(node, ast.Subscript):
        return False
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return any(isinstance(item, ast.Constant) and item.value is None for item in items)
