"""What an optional mask or bias leaves of an array: `if bias is not None: weights = weights + bias`.

Often nothing is known of the bias: it may come from caches, or from a function that combines those that are given. The
array keeps its sizes behind it, unless the bias stretches an axis of size 1; and layers behind it that are made for the
size without it refuse what such a bias gives. Norms don't, for the last axis: that stays unknown.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.names.nodes import is_none

_OPERATORS = (ast.Add, ast.Sub, ast.Mult)
_WHERE = frozenset({"jax.numpy.where"})
_LARGE = 64


def sizes_beside(frame: Frame, name: str, masked: Any, plain: Any, node: ast.AST) -> Any:
    """What is known of the array of a name on the path of `node` where it is masked; `plain` is it without that."""
    if not isinstance(plain, Array) or not _masks(frame, name, node):
        return masked
    if type(masked) is Unknown:
        masked = Array(Shape((Dim.unknown(masked.reason),) * len(plain.shape.dims), ""), None)
    if not isinstance(masked, Array):
        return masked
    own, without = masked.shape.dims, plain.shape.dims
    count = min(len(own), len(without))
    kept = tuple(
        without[axis] if not own[axis].known and _stays(axis, without[axis]) else own[axis]
        for axis in range(-count, 0)
    )
    return masked.with_shape(Shape((*own[: len(own) - count], *kept), masked.shape.lead))


def _stays(axis: int, size: Dim) -> bool:
    """Whether layers behind an axis of some size refuse another one: it isn't there to be stretched, nor for norms."""
    large = size.substitute(lambda _: Dim.of(_LARGE))  # `min(1, n)` is 1, too
    return axis < -1 and size.known and not same(size, 1) and not same(large, 1)


def _masks(frame: Frame, name: str, node: ast.AST) -> bool:
    """Whether an `if` does no more to a variable than to mask it with what it asks for."""
    if not isinstance(node, ast.If) or node.orelse or not isinstance(node.test, ast.Compare):
        return False
    asked, (operator, *_) = node.test.left, node.test.ops
    if not (
        isinstance(operator, ast.IsNot) and isinstance(asked, ast.Name) and is_none(node.test.comparators[0])
    ):
        return False
    stores = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name]
    stores = [n for n in stores if not isinstance(n.ctx, ast.Load)]
    for statement in node.body:
        if isinstance(statement, ast.AugAssign) and stores == [statement.target]:
            return isinstance(statement.op, _OPERATORS)
        if isinstance(statement, ast.Assign) and stores == statement.targets:
            return _is_masked(frame, statement.value, name)
    return False


def _is_masked(frame: Frame, value: ast.expr, name: str) -> bool:
    """Whether an expression is the variable with something added to it, or `jnp.where(mask, name, other)`."""
    parts: list[ast.expr] = []
    if isinstance(value, ast.BinOp) and isinstance(value.op, _OPERATORS):
        parts = [value.left, value.right]
    elif isinstance(value, ast.Call) and not value.keywords:
        resolved = frame.session.program.project.resolve(
            value.func, frame.module.scope_at(value), frame.module
        )
        parts = value.args[1:] if resolved in _WHERE else []
    return any(isinstance(part, ast.Name) and part.id == name for part in parts)
