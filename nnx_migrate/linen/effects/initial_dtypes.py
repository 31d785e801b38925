"""Dtypes that arrays have while a model is initialised, as far as parameters are made with them.

In a project that enables no 64 bit types and has no complex numbers, every dtype is a real one of at most 32 bits
(REAL, where no more is known), and float32 is what it becomes beside a float32. A layer without a dtype computes in
that of its input and its parameters: fresh parameters are float32, so the result is (FLOAT32 here). Behind the
initialisation that need not hold, as programs may cast parameters; so these dtypes mean nothing but what `self.param`
gets. `=text` stands for the value of an expression, such as a field or the dtype of an argument of the method.
"""

from __future__ import annotations

from collections.abc import Iterable

REAL = "real"
FLOAT32 = "=float32"


def is_initial(dtype: str | None) -> bool:
    """Whether a dtype is one of those that this module is about."""
    return dtype is not None and (dtype == REAL or dtype.startswith("="))


def promoted(dtypes: Iterable[str | None], has_numbers: bool) -> str | None:
    """The dtype of arithmetic on arrays of these dtypes, some of them initial, and perhaps on Python numbers."""
    found = set(dtypes)
    if None in found or any(str(dtype).startswith("complex") for dtype in found):
        return None
    if found & {FLOAT32, "float32"}:
        return FLOAT32
    return found.pop() if len(found) == 1 and not has_numbers else REAL
