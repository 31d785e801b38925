"""Lists of arrays whose length isn't known."""

from __future__ import annotations

from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.dims import Dim


@dataclass(frozen=True)
class ArrayList:
    """A list of arrays, of unknown length: `element` is what they share (None: there is none yet).

    `varying` are the axes (from behind: -1 is the last) in which the elements differ, or may. Where loops fill it
    in plain ways there are `count` of them, whose sizes in an axis add up to its number in `totals`. One that is
    surely among them has the sizes of `agreed`: where arrays have to fit, so have all.
    """

    element: Array | None
    varying: frozenset[int]
    count: Dim | None = None
    totals: tuple[tuple[int, Dim], ...] = ()
    agreed: tuple[tuple[int, Dim], ...] = ()
