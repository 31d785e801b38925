"""Which axes of an input a construction chooses, where the constructor takes the sizes at all of them.

That shows where the class's code runs with the arguments of the construction, for inputs of every usual rank.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from nnx_migrate.linen.arrays.leads import axis_size
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.frame import BUDGET, Session
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import sizes_given

_RANKS = range(1, 9)
_SIZE = re.compile(r"§a(-\d+)$")


def chosen_axes(
    program: LinenProgram, cls: LinenClass, call: ast.Call, method: str, argument: str, number: int
) -> tuple[int, ...] | None:
    """The axes of `argument` that the method's comprehension with that number lists; None if they can't be told."""
    fields = _fields(cls, call)
    if fields is None:
        return None
    found: dict[int, tuple[int, ...]] = {}
    for rank in _RANKS:
        session = Session(program, cls, recording=False, limit=BUDGET)
        array = Array(Shape(tuple(axis_size(argument, axis) for axis in range(-rank, 0))))
        dims = sizes_given(session, cls, fields, method, (), {argument: array}, number)
        matches = [_SIZE.search(dim.text()) for dim in dims or ()]
        if dims and all(matches):
            found[rank] = tuple(int(match[1]) for match in matches if match)
    if len({len(axes) for axes in found.values()}) != 1:
        return None
    count = len(next(iter(found.values())))
    axes = [_for_all({rank: axes[place] for rank, axes in found.items()}) for place in range(count)]
    known = [axis for axis in axes if axis is not None]
    return tuple(known) if len(known) == count else None


def _for_all(behind: Mapping[int, int]) -> int | None:
    """One axis for inputs of all these ranks, for each of which it is given as counted from behind."""
    for found in (behind, {rank: rank + axis for rank, axis in behind.items()}):
        axis = found[max(found)]
        alike = {other for rank, other in found.items() if rank >= (-axis if axis < 0 else axis + 1)}
        if alike == {axis} and axis in (found.get(rank) for rank in _RANKS[:-1]):
            return axis
    return None


def _fields(cls: LinenClass, call: ast.Call) -> dict[str, Any] | None:
    """The values of the fields that a construction gives; None where it can't be seen which these are."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return None
    given: Mapping[str | None, ast.expr] = {
        **dict(zip((item.name for item in cls.fields), call.args, strict=False)),
        **{keyword.arg: keyword.value for keyword in call.keywords},
    }
    return {name: _value(node) for name, node in given.items() if name is not None}


def _value(node: ast.expr) -> Any:
    try:
        return _plain(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError):
        return Unknown("an argument of a program")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return Dim.of(value) if isinstance(value, int) and not isinstance(value, bool) else value
