"""Arrays for which a number stands in on another path: the masks of dropped layers, `1.0` where nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.values import ArrayOrNumber, Expr

_NUMBER = Array(Shape(), "float", weak=True)


def array_or_number(a: Any, b: Any, reason: str) -> ArrayOrNumber | None:
    """What holds the one or the other, if one of the two values is an array and one a number."""
    for array, number in ((a, b), (b, a)):
        if _is_number(number) and isinstance(array, Array | ArrayOrNumber):
            return array if isinstance(array, ArrayOrNumber) else ArrayOrNumber(reason, array)
    return None


def _is_number(value: Any) -> bool:
    is_field = isinstance(value, Expr) and value.kind == "float"
    return is_field or (isinstance(value, int | float | Dim) and not isinstance(value, bool))


def combined(transfer: Callable[..., Any], left: Any, right: Any) -> Any:
    """An operator where at least one side may be a number: an array if its shape is the same either way."""
    results: list[Any] = []
    for as_number in (False, True):
        sides = [_one_of(side, as_number) for side in (left, right)]
        results.append(transfer(*sides))
    array, other = results
    if not isinstance(array, Array) or not isinstance(other, Array):
        return next(result for result in results if not isinstance(result, Array))
    reason = left.reason if isinstance(left, ArrayOrNumber) else right.reason
    if other.shape == _NUMBER.shape and array.shape != _NUMBER.shape:
        return ArrayOrNumber(reason, array)
    return array.or_else(other, lambda a, b: Dim.unknown(a.reason or b.reason or reason)) or Unknown(reason)


def _one_of(side: Any, as_number: bool) -> Any:
    if not isinstance(side, ArrayOrNumber):
        return side
    return _NUMBER if as_number else side.array


def as_array(value: Any) -> Any:
    """What a layer gets that fails for numbers and None: `total = 0`, a loop that adds outputs, `Dense(8)(total)`."""
    return value.array if isinstance(value, ArrayOrNumber | ArrayOrNone) else value
