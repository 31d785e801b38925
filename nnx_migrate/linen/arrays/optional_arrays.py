"""Arrays that are None in some configurations: `bias = self.param("bias", ...) if self.use_bias else None`.

Code computes with them only where they are arrays; with None, it fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown

#: Functions whose arguments may be None instead of an array.
_TAKE_NONE = frozenset({"jax.numpy.where", "jax.numpy.clip", "flax.linen.dtypes.promote_dtype"})


@dataclass(frozen=True)
class ArrayOrNone(Unknown):
    """An array on one path, on another what `instead` says: None, a tuple, or either of them."""

    array: Array = field(default_factory=Array.of)
    instead: frozenset[str] = frozenset({"None"})


def array_or_none(a: Any, b: Any, reason: str) -> ArrayOrNone | None:
    """What holds the one or the other, if one of two values is an array and the other None, or both may be."""
    arrays = [value.array if isinstance(value, ArrayOrNone) else value for value in (a, b)]
    found = [value for value in arrays if value is not None]
    if (a is None and b is None) or not instead_of_arrays(a, b):
        return None
    if not found or not all(type(value) is Array and value == found[0] for value in found):
        return None
    return ArrayOrNone(reason, found[0], instead_of_arrays(a, b))


def instead_of_arrays(*values: Any) -> frozenset[str]:
    """What some values may be that isn't an array."""
    nothing: frozenset[str] = frozenset()
    kinds = [value.instead for value in values if isinstance(value, ArrayOrNone)]
    return nothing.union(*kinds, {"None"} if None in values else nothing)


def present(value: Any) -> Any:
    """The array, for code that fails without it; other values as they are."""
    return value.array if isinstance(value, ArrayOrNone) else value


def array_for(value: Any, may_be_none: bool) -> Any:
    """The array that a module gets which fails without it; if that `may_be_none`, only where it never is."""
    return value if may_be_none and "None" in instead_of_arrays(value) else present(value)


def all_present(function: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments that a function of JAX gets by position, where it fails with None.

    Some take tuples of arrays, too.
    """
    if function in _TAKE_NONE or not function.startswith(("jax.numpy.", "jax.lax.")):
        return args
    return tuple(v if "tuple" in instead_of_arrays(v) else present(v) for v in args)
