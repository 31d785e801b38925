"""Ranks that the code itself demands of its inputs: `assert x.ndim == 3`, `if x.ndim != 4: raise ...`."""

from __future__ import annotations

import ast

from nnx_migrate.linen.interpreter.convert import input_array
from nnx_migrate.linen.interpreter.expressions import rank_needed
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.shapes import Array
from nnx_migrate.linen.values import Input


def ranks_required(frame: Frame, test: ast.expr, *, forbidden: bool = False) -> None:
    """Take over the ranks that must hold behind a check.

    `forbidden` tells that the code goes on only where `test` is false. Raises NeedRank for inputs whose rank
    was not known yet.
    """
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or if forbidden else ast.And):
        for part in test.values:
            ranks_required(frame, part, forbidden=forbidden)
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return
    if not isinstance(test.ops[0], ast.NotEq if forbidden else ast.Eq):
        return
    for measured, number in ((test.left, test.comparators[0]), (test.comparators[0], test.left)):
        array = _of_rank(measured)
        if array is not None and isinstance(number, ast.Constant) and type(number.value) is int:
            _demand(frame, array, number.value)


def _of_rank(node: ast.expr) -> ast.expr | None:
    """`x` for `x.ndim` and `len(x.shape)`."""
    if isinstance(node, ast.Attribute) and node.attr == "ndim":
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        (argument,) = node.args or (None,)
        if isinstance(argument, ast.Attribute) and argument.attr == "shape":
            return argument.value
    return None


def _demand(frame: Frame, node: ast.expr, rank: int) -> None:
    value = frame.session.facts.values.get((frame.context, node))
    if isinstance(value, Input):
        value = input_array(frame.session, value)
    if isinstance(value, Array) and not value.shape.exact:
        rank_needed(frame, value.shape, rank)
