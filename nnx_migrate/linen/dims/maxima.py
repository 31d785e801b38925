"""Sizes that others broadcast to, of which nothing in the code says that they are equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nnx_migrate.linen.dims import Dim, parts_of
from nnx_migrate.linen.dims.terms import Atom, Max

Agreed = Mapping[Atom, Dim]


def open_maxima(dim: Dim) -> Iterator[Max]:
    """The parts `max(a, b)` of a size that stand for two sizes which are equal, or one of them 1; outer ones first."""
    for monomial in dim.terms:
        for atom, _ in monomial.factors:
            if isinstance(atom, Max) and atom.fits:
                yield atom
            for part in parts_of(atom):
                yield from open_maxima(part)
