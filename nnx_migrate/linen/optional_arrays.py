"""Arrays that are None in some configurations: `bias = self.param("bias", ...) if self.use_bias else None`.

Code computes with them only where they are arrays; with None, it fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnx_migrate.linen.shapes import Array, Unknown

#: Functions whose arguments may be None instead of an array.
_TAKE_NONE = frozenset({"jax.numpy.where", "jax.numpy.clip", "flax.linen.dtypes.promote_dtype"})


@dataclass(frozen=True)
class ArrayOrNone(Unknown):
    """An array on one path, None on another."""

    array: Array = field(default_factory=Array.of)


def array_or_none(a: Any, b: Any, reason: str) -> ArrayOrNone | None:
    """What holds the one or the other, if one of two values is an array and the other None, or both may be."""
    arrays = [value.array if isinstance(value, ArrayOrNone) else value for value in (a, b)]
    found = [value for value in arrays if value is not None]
    if a is None and b is None:
        return None
    if not found or not all(type(value) is Array and value == found[0] for value in found):
        return None
    return ArrayOrNone(reason, found[0])


def present(value: Any) -> Any:
    """The array, for code that fails without it; other values as they are."""
    return value.array if isinstance(value, ArrayOrNone) else value


def all_present(function: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments that a function of JAX gets by position, where it fails with None."""
    if function in _TAKE_NONE or not function.startswith(("jax.numpy.", "jax.lax.")):
        return args
    return tuple(present(value) for value in args)
