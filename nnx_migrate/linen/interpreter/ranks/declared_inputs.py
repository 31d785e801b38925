"""What annotations say of the arguments of the method under analysis."""

from __future__ import annotations

import ast
import re

from nnx_migrate.linen.interpreter.frame import Session
from nnx_migrate.linen.values import Input

_ARRAY = re.compile(r"(?:^|\.)(?:Array|ArrayLike|ndarray|Tensor|Float|Int|UInt|Num|Shaped)$")


def is_declared_array(session: Session, value: Input) -> bool:
    """Whether an argument is annotated as an array: `x: jnp.ndarray`, `x: Array | None`, `x: Float[Array, "b d"]`."""
    method = session.cls.method(session.entry)
    if method is None or len(value.path) != 1:
        return False
    args = method.node.args
    every = (*args.posonlyargs, *args.args, *args.kwonlyargs)
    return any(one.arg == value.path[0] and _is_array(one.annotation) for one in every)


def _is_array(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _ARRAY.search(annotation.value) is not None
    if isinstance(annotation, ast.BinOp):
        return _is_array(annotation.left) or _is_array(annotation.right)
    if isinstance(annotation, ast.Subscript):
        is_optional = ast.unparse(annotation.value).rpartition(".")[2] == "Optional"
        return _is_array(annotation.slice if is_optional else annotation.value)
    return annotation is not None and _ARRAY.search(ast.unparse(annotation)) is not None
