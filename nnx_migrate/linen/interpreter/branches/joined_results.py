"""What one of several modules or functions returns, part by part: arrays, and tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.dims import Dim


def one_of_results(results: Sequence[Any], size: Callable[[Dim, Dim], Dim], different: str) -> Any:
    """What is known of a value that is one of these: `size` tells what sizes that differ are then.

    Parts in which they differ otherwise are unknown, with the reason `different`.
    """
    joined, *others = results
    for other in others:
        joined = _joined(joined, other, size, different)
    return joined


def _joined(a: Any, b: Any, size: Callable[[Dim, Dim], Dim], different: str) -> Any:
    if type(a) is type(b) and a == b:
        return a
    if isinstance(a, Array) and isinstance(b, Array):
        array = a.or_else(b, size)
        return Unknown(different) if array is None else array
    if type(a) is tuple and type(b) is tuple and len(a) == len(b):
        return tuple(_joined(x, y, size, different) for x, y in zip(a, b, strict=True))
    if type(a) is dict and type(b) is dict and a.keys() == b.keys():
        return {key: _joined(a[key], b[key], size, different) for key in a}
    return Unknown(different)
