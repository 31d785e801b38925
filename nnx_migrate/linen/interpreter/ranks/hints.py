"""The ranks that inputs have as a rule, by code that counts their axes and yet runs for more: `x[:, None, :]`.

Nothing is learned from them until the class can't be converted without: see `nnx_migrate.nnx.ranks`.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Global
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.ranks.patterns import may_learn, ranks_of_inputs
from nnx_migrate.names.nodes import last_name

_STACKS = frozenset({"jax.numpy.hstack", "jax.numpy.column_stack"})
_EXPAND = "jax.numpy.expand_dims"


def hinted_by_index(frame: Frame, array: Array, index: Any) -> None:
    """Nobody writes the last colon of `x[:, None, :]` who doesn't count the axes of `x`."""
    items = index if isinstance(index, tuple) else ()
    if len(items) < 2 or items[-1] != slice(None) or not any(_is_new(item) for item in items):
        return
    if all(_is_new(item) or isinstance(item, slice) for item in items):
        _hint(frame, array, sum(not _is_new(item) for item in items))


def hinted_by_call(frame: Frame, name: str, args: tuple[Any, ...], node: ast.AST | None) -> None:
    """What calls of functions suggest.

    `jnp.hstack([state, action])` is about rows of numbers; for a single row, it does the same. And what gets two new
    axes behind the first one, by a call in a call, is to meet images: a row of features for each of them.
    """
    if name in _STACKS and args and isinstance(args[0], tuple | list):
        for array in args[0]:
            if isinstance(array, Array):
                _hint(frame, array, 2)
    if name == _EXPAND and args and isinstance(args[0], Array) and isinstance(node, ast.Call):
        inner = node.args[0] if node.args else None
        if _is_second(node) and isinstance(inner, ast.Call) and _is_second(inner):
            _hint(frame, args[0], 3)


def _is_second(call: ast.Call) -> bool:
    """`expand_dims(x, 1)`."""
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "axis")]
    is_one = len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value == 1
    return is_one and last_name(call.func) == "expand_dims"


def _hint(frame: Frame, array: Array, rank: int) -> None:
    root = frame.session.root
    if array.shape.exact or root.default_rank.rank is not None or not may_learn(frame):
        return
    for path, found in ranks_of_inputs(root, array, rank).items():
        root.hinted_ranks.setdefault(path, set()).add(found)


def _is_new(item: Any) -> bool:
    return item is None or (isinstance(item, Global) and item.name.endswith(".newaxis"))
