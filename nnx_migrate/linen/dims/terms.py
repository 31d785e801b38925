"""What dims are sums of: products of powers of atoms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnx_migrate.linen.dims import Dim


@dataclass(frozen=True, eq=False)
class Symbol:
    """A Python expression such as `features` or `self.dim`; `minimum` is its least value, if known."""

    text: str
    minimum: int | None = None  # which makes no difference between two of them

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(frozen=True)
class FloorDiv:
    """`numerator // denominator`, where nothing more can be cancelled."""

    numerator: Dim
    denominator: Dim


@dataclass(frozen=True)
class Mod:
    """`numerator % denominator`, in Python's sense."""

    numerator: Dim
    denominator: Dim


@dataclass(frozen=True)
class Max:
    """`max(...)` of at least two dims, of which none is known to dominate another."""

    args: tuple[Dim, ...]
    fits: bool = False  # all are equal or 1: sizes that broadcast


@dataclass(frozen=True)
class Min:
    """`min(...)` of at least two dims, of which none is known to dominate another."""

    args: tuple[Dim, ...]


@dataclass(frozen=True)
class Opaque:
    """Any other integer expression; `template` holds `{0}`, ... for its arguments: `int({0} * {1})`.

    Whatever may be renamed or substituted has to be an argument; a float may be a `Dim.symbol` there. `minimum` is
    its least value, if known.
    """

    template: str
    args: tuple[Dim | float, ...]
    minimum: int | None = field(default=None, compare=False)


Atom = Symbol | FloorDiv | Mod | Max | Min | Opaque


class Monomial(frozenset[tuple[Atom, int]]):
    """A product of powers of atoms. Order of factors and place of the coefficient matter only for text."""

    __slots__ = ("factors", "number_first")

    factors: tuple[tuple[Atom, int], ...]
    number_first: bool

    def __new__(cls, factors: tuple[tuple[Atom, int], ...] = (), number_first: bool = False) -> Monomial:
        """The product of these factors, each of another atom."""
        self = super().__new__(cls, factors)
        self.factors, self.number_first = factors, number_first
        return self

    @property
    def degree(self) -> int:
        """The sum of the powers."""
        return sum(power for _, power in self.factors)

    def times(self, other: Monomial) -> Monomial:
        """The product, this one's factors first."""
        if not self.factors:
            return Monomial(other.factors, True) if self.number_first else other
        if not other.factors:
            return Monomial(self.factors, True) if other.number_first else self
        powers = dict(self.factors)
        for atom, power in other.factors:
            powers[atom] = powers.get(atom, 0) + power
        return Monomial(tuple(powers.items()), self.number_first or other.number_first)

    def divided_by(self, other: Monomial) -> Monomial | None:
        """The exact quotient, None where there is none."""
        powers = dict(self.factors)
        for atom, power in other.factors:
            left = powers.get(atom, 0) - power
            if left < 0:
                return None
            powers[atom] = left
        return Monomial(tuple((a, p) for a, p in powers.items() if p), self.number_first)

    def common(self, other: Monomial) -> Monomial:
        """The greatest common divisor."""
        powers = dict(other.factors)
        return Monomial(tuple((a, min(p, powers[a])) for a, p in self.factors if a in powers))


ONE = Monomial()
