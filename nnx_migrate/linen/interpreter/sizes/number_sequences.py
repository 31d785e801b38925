"""NumPy's functions on sequences of known numbers, as code that permutes axes uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx_migrate.linen.arrays.shapes import NumberArray
from nnx_migrate.linen.dims import Dim


def _numbers(value: Any) -> list[int] | None:
    """The numbers of a sequence, None where one isn't known."""
    if isinstance(value, NumberArray):
        return list(value.numbers)
    if not isinstance(value, tuple | list):
        return None
    found = [item.const if isinstance(item, Dim) else item for item in value]
    numbers = [item for item in found if type(item) is int]
    return numbers if len(numbers) == len(found) else None


def _delete(sequence: Any = None, places: Any = None, *others: Any) -> NumberArray | None:
    """`np.delete(numbers, places)`: what is left."""
    numbers = _numbers(sequence)
    gone = _numbers(places if isinstance(places, tuple | list | NumberArray) else (places,))
    if numbers is None or gone is None or others or any(not -len(numbers) <= g < len(numbers) for g in gone):
        return None
    left = set(range(len(numbers))) - {place % len(numbers) for place in gone}
    return NumberArray.holding([numbers[place] for place in sorted(left)])


def _argsort(sequence: Any = None, *others: Any) -> NumberArray | None:
    """`np.argsort(permutation)`: its inverse."""
    numbers = _numbers(sequence)
    if numbers is None or others or len(set(numbers)) < len(numbers):
        return None
    return NumberArray.holding(sorted(range(len(numbers)), key=numbers.__getitem__))


SEQUENCES: dict[str, Callable[..., NumberArray | None]] = {
    "numpy.delete": _delete,
    "numpy.argsort": _argsort,
}
