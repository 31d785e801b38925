"""Symbolic array sizes: integers as sums of products over atoms that Python can evaluate at construction.

A `Dim` is immutable and canonical: two dims that compare equal stand for the same integer in every run.
The converse can't hold (it would decide arithmetic), so code asks `same(a, b)`, which answers True, False or
None for "can't tell". Written order is remembered, but not compared, so that `.text()` reads like user code.

Every rewrite made here holds for Python integers of any sign wherever the original expression does not
raise; a division by something that may be zero is therefore still cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, reduce
from math import gcd
from operator import mul
from types import EllipsisType, MappingProxyType

from nnx_migrate.linen.dims import bounds, choices, division, notation, substitution
from nnx_migrate.linen.dims.answers import remembered
from nnx_migrate.linen.dims.terms import ONE, Atom, FloorDiv, Max, Min, Mod, Monomial, Opaque, Symbol

Written = tuple[object, ...]


class Dim:
    """An integer known as an expression. `Dim.of(4)`, `Dim.symbol("self.dim")`, `Dim.size("in_features")`.

    Operators: `+ - * // %`, unary minus, `**` with a constant. Unknown dims (`Dim.unknown(reason)`) absorb
    everything and equal nothing, not even themselves; `reason` says why. Truth value and order are
    deliberately undefined: use `same`, `at_least` and `.const`.
    """

    __slots__ = ("_hash", "_texts", "bound", "const", "options", "reason", "terms", "written")

    terms: Mapping[Monomial, int]
    reason: str | None
    options: tuple[Dim, ...]  # one of these, if that is all that is known
    const: int | None  # the value, if it is a plain number
    bound: int | EllipsisType | None  # what `bounds.lower_bound` found; ... before it is asked
    written: Written | None  # see `answers.written`; None before it is asked

    def __init__(self, terms: Mapping[Monomial, int], reason: str | None = None) -> None:
        self.terms = {monomial: number for monomial, number in terms.items() if number}
        self.reason, self.options = reason, ()
        self.bound = ...
        self.const = _const(self.terms) if reason is None else None
        self.written = None
        self._hash: int | None = None
        self._texts: frozenset[str] | None = None

    # ---- construction -------------------------------------------------------------------------------------

    @staticmethod
    def of(value: int | Dim) -> Dim:
        """A dim for an int; dims come back unchanged."""
        return value if isinstance(value, Dim) else _number(int(value))

    @staticmethod
    def symbol(text: str, minimum: int | None = None) -> Dim:
        """The value of the Python expression `text`, an int not less than `minimum`."""
        return _symbol(text, minimum)

    @staticmethod
    def size(text: str) -> Dim:
        """The size of an array axis: a symbol not less than 1 (models do not run on empty arrays)."""
        return Dim.symbol(text, minimum=1)

    @staticmethod
    def unknown(reason: str) -> Dim:
        """A dim of which nothing is known; `reason` is shown to the user."""
        return Dim({}, reason)

    @staticmethod
    def opaque(template: str, *args: Dim | float) -> Dim:
        """An integer expression over `args` without algebra; folded where all arguments are numbers."""
        if (decided := choices.decided(template, args)) is not None:
            return decided  # also where what isn't taken is unknown
        for arg in args:
            if isinstance(arg, Dim) and arg.reason is not None:
                return Dim.unknown(arg.reason)
        numbers = [arg.const if isinstance(arg, Dim) else arg for arg in args]
        if all(number is not None for number in numbers):
            value = notation.evaluate(template.format(*(f"({number!r})" for number in numbers)))
            if isinstance(value, int):
                return Dim.of(value)
        return dim_of_atom(Opaque(template, args))

    # ---- facts --------------------------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """Whether this is an expression at all."""
        return self.reason is None

    def symbols(self) -> frozenset[str]:
        """The texts of all symbols within."""
        if self._texts is None:
            self._texts = frozenset(symbol.text for symbol in _symbols(self))
        return self._texts

    def substitute(
        self, value: Callable[[str], Dim | float | None], chosen: Mapping[Atom, Dim] = MappingProxyType({})
    ) -> Dim:
        """With symbols replaced: `value(text)` gives a dim, an int, a float (only useful in opaque
        expressions) or None to keep the symbol. `chosen` replaces other atoms."""
        if self.reason is not None:
            return self
        total = Dim.of(0)
        for monomial, number in self.terms.items():
            product = Dim.of(number)
            for atom, power in monomial.factors:
                new = substitution.of_atom(atom, value, chosen)
                if not isinstance(new, Dim):
                    return Dim.unknown(f"{new} is not an integer")
                product = product * new**power if monomial.number_first else new**power * product
            total = total + product
        return total

    def text(self, rename: Callable[[str], str] | None = None) -> str:
        """Python source of this expression; `rename` maps a symbol's text to the text to write."""
        return notation.render(self, rename)

    def as_size(self) -> Dim:
        """The same size, of an axis of an array that exists: it can't be negative."""
        ((monomial, number),) = self.terms.items() if len(self.terms) == 1 else ((ONE, 0),)
        if number != 1 or len(monomial.factors) != 1:
            return self
        atom, power = monomial.factors[0]
        if power != 1 or not isinstance(atom, Symbol | Opaque) or atom.minimum is not None:
            return self
        return dim_of_atom(replace(atom, minimum=0))

    # ---- arithmetic ---------------------------------------------------------------------------------------

    def __add__(self, other: int | Dim) -> Dim:
        other = Dim.of(other)
        if (unknown := unknown_among(self, other)) is not None:
            return unknown
        terms = dict(self.terms)
        for monomial, number in other.terms.items():
            terms[monomial] = terms.get(monomial, 0) + number
        return Dim(division.with_padding(terms))

    def __mul__(self, other: int | Dim) -> Dim:
        other = Dim.of(other)
        if (unknown := unknown_among(self, other)) is not None:
            return unknown
        if other.const == 1:
            return self
        if self.const == 1:
            return other
        leads = self.const is not None and other.const is None
        terms: dict[Monomial, int] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                product = left.times(right)
                if leads:
                    product = Monomial(product.factors, number_first=True)
                terms[product] = terms.get(product, 0) + a * b
        return Dim(terms)

    def __neg__(self) -> Dim:
        return Dim({m: -n for m, n in self.terms.items()}, self.reason)

    def __sub__(self, other: int | Dim) -> Dim:
        other = Dim.of(other)
        if (unknown := unknown_among(self, other)) is not None:
            return unknown
        terms = dict(self.terms)
        for monomial, number in other.terms.items():
            terms[monomial] = terms.get(monomial, 0) - number
        return Dim(division.with_padding(terms))

    def __pow__(self, power: int) -> Dim:
        if power < 0:
            return Dim.unknown("a negative power")
        return reduce(mul, [self] * power, Dim.of(1))

    def __floordiv__(self, other: int | Dim) -> Dim:
        return division.divide(self, Dim.of(other))[0]

    def __mod__(self, other: int | Dim) -> Dim:
        return division.divide(self, Dim.of(other))[1]

    def __radd__(self, other: int) -> Dim:
        return Dim.of(other) + self

    def __rmul__(self, other: int) -> Dim:
        return Dim.of(other) * self

    def __rsub__(self, other: int) -> Dim:
        return Dim.of(other) - self

    def __rfloordiv__(self, other: int) -> Dim:
        return Dim.of(other) // self

    def __rmod__(self, other: int) -> Dim:
        return Dim.of(other) % self

    # ---- identity -----------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            other = Dim.of(other)
        if not isinstance(other, Dim):
            return NotImplemented
        return self.reason is None and other.reason is None and self.terms == other.terms

    def __hash__(self) -> int:
        if self._hash is None:
            items = frozenset(self.terms.items())
            self._hash = hash((items, self.reason)) if self.const is None else hash(self.const)
        return self._hash

    def __bool__(self) -> bool:
        raise TypeError("a symbolic size has no truth value; use .const or same()")

    def __repr__(self) -> str:
        return f"Dim({self.text()})" if self.reason is None else f"Dim(unknown: {self.reason})"


# ---- questions ---------------------------------------------------------------------------------------------


def same(a: int | Dim, b: int | Dim) -> bool | None:
    """Whether both are the same integer in every run (True), in no run (False), or can't be told (None)."""
    a, b = Dim.of(a), Dim.of(b)
    if a.reason is not None or b.reason is not None:
        return None
    if a.const is not None and b.const is not None:
        return a.const == b.const
    return True if a.terms == b.terms else _same(a, b)


@remembered
def _same(a: Dim, b: Dim) -> bool | None:
    difference = a - b
    if difference.const is None:
        difference = division.rounded_down(difference)
    if difference.const is not None:
        return difference.const == 0
    for side in (difference, -difference):
        bound = bounds.lower_bound(side)
        if bound is not None and bound > 0:
            return False
    # 2n + 1 is never 2m: what divides all symbolic terms must divide the constant, too.
    constant = difference.terms.get(ONE, 0)
    if constant % reduce(gcd, (n for m, n in difference.terms.items() if m != ONE)):
        return False
    return None


def at_least(a: int | Dim, b: int | Dim) -> bool | None:
    """Whether `a >= b` in every run (True), in no run (False), or can't be told (None)."""
    a, b = Dim.of(a), Dim.of(b)
    if a.reason is not None or b.reason is not None:
        return None
    if a.const is not None and b.const is not None:
        return a.const >= b.const
    return True if a.terms == b.terms else _at_least(a, b)


@remembered
def _at_least(a: Dim, b: Dim) -> bool | None:
    difference = a - b
    bound = bounds.lower_bound(difference)
    if bound is not None and bound >= 0:
        return True
    bound = bounds.lower_bound(-difference)
    if bound is not None and bound > 0:
        return False
    ways = bounds.ways(a), bounds.ways(b)
    if max(map(len, ways)) > 1 and all(at_least(one, other) is True for one in ways[0] for other in ways[1]):
        return True
    return None


# ---- functions ---------------------------------------------------------------------------------------------


def product(dims: Iterable[int | Dim]) -> Dim:
    """The product of all, 1 for none: the number of elements of a shape."""
    return reduce(mul, (Dim.of(dim) for dim in dims), Dim.of(1))


def maximum(*dims: int | Dim) -> Dim:
    """`max(...)`."""
    return _extremum(Max, [Dim.of(dim) for dim in dims])


def fitting(*dims: int | Dim) -> Dim:
    """The size that sizes broadcast to, of which all are equal or 1: the one that can't be 1, or `max(...)`."""
    sizes = [Dim.of(dim) for dim in dims]
    for size in sizes:
        if same(size, 1) is False:
            return size
    largest = maximum(*sizes)
    atom = single_atom(largest)
    if not isinstance(atom, Max) or any(_is_any_maximum(size) for size in sizes):
        return largest
    return dim_of_atom(replace(atom, fits=True))


def minimum(*dims: int | Dim) -> Dim:
    """`min(...)`."""
    return _extremum(Min, [Dim.of(dim) for dim in dims])


def ceil_div(a: int | Dim, b: int | Dim) -> Dim:
    """The quotient rounded up, `-(-a // b)`."""
    return -(-Dim.of(a) // b)


# ---- how it is done ----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _number(value: int) -> Dim:
    return Dim({ONE: value})


@lru_cache(maxsize=4096)
def _symbol(text: str, minimum: int | None) -> Dim:
    return dim_of_atom(Symbol(text, minimum))


def _const(terms: Mapping[Monomial, int]) -> int | None:
    if not terms:
        return 0
    return terms.get(ONE) if len(terms) == 1 else None


def dim_of_atom(atom: Atom) -> Dim:
    """The dim that consists of one atom."""
    return Dim({Monomial(((atom, 1),)): 1})


def unknown_among(*dims: Dim) -> Dim | None:
    """A fresh unknown dim if any is unknown (fresh, so that identity never means sameness)."""
    for dim in dims:
        if dim.reason is not None:
            return Dim.unknown(dim.reason)
    return None


def _extremum(kind: type[Max] | type[Min], dims: list[Dim]) -> Dim:
    if (unknown := unknown_among(*dims)) is not None:
        return unknown
    parts: list[Dim] = []
    for dim in dims:
        atom = single_atom(dim)
        parts.extend(atom.args if isinstance(atom, kind) else [dim])

    def beats(a: Dim, b: Dim) -> bool:
        return (at_least(a, b) if kind is Max else at_least(b, a)) is True

    kept: list[Dim] = []
    for dim in parts:
        if not any(beats(other, dim) for other in kept):
            kept = [other for other in kept if not beats(dim, other)] + [dim]
    if len(kept) == 1:
        return kept[0]
    return dim_of_atom(kind(tuple(sorted(kept, key=lambda dim: (dim.const is not None, dim.text())))))


def _is_any_maximum(dim: Dim) -> bool:
    """Whether it is the largest of sizes that need not fit each other."""
    atom = single_atom(dim)
    return isinstance(atom, Max) and not atom.fits


def single_atom(dim: Dim) -> Atom | None:
    """The atom that the dim consists of, None if it is anything else than one atom."""
    if len(dim.terms) == 1:
        ((monomial, number),) = dim.terms.items()
        if number == 1 and monomial.degree == 1:
            return monomial.factors[0][0]
    return None


def _symbols(dim: Dim) -> Iterator[Symbol]:
    for monomial in dim.terms:
        for atom, _ in monomial.factors:
            if isinstance(atom, Symbol):
                yield atom
            else:
                for part in parts_of(atom):
                    yield from _symbols(part)


def parts_of(atom: Atom) -> tuple[Dim, ...]:
    """The dims that an atom is made of, () for a symbol."""
    if isinstance(atom, Symbol):
        return ()
    if isinstance(atom, FloorDiv | Mod):
        return atom.numerator, atom.denominator
    return tuple(arg for arg in atom.args if isinstance(arg, Dim))
