"""Sizes that one of two expressions gives: `self.width or features // 4`."""

from __future__ import annotations

from collections.abc import Sequence

from nnx_migrate.linen import dims
from nnx_migrate.linen.dims.terms import Opaque

OR = "{0} or {1}"


def first_of(sizes: Sequence[dims.Dim]) -> dims.Dim:
    """`a or b or c`."""
    *first, last = sizes
    for size in reversed(first):
        last = dims.Dim.opaque(OR, size, last)
    return last


def decided(template: str, args: tuple[dims.Dim | float, ...]) -> dims.Dim | None:
    """What a choice between two sizes gives in every run; None where that depends, and for anything else."""
    if template != OR:
        return None
    first, second = map(dims.Dim.of, args)  # type: ignore[arg-type]
    is_zero = dims.same(first, 0)
    if is_zero is not None:
        return second if is_zero else first
    inner = dims.single_atom(second)  # a or (a or b)
    repeats = isinstance(inner, Opaque) and inner.template == OR and inner.args[0] == first
    return second if repeats or first == second else None
