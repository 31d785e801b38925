"""Symbolic array sizes: integers as sums of products over atoms that Python can evaluate at construction.

A `Dim` is immutable and canonical: two dims that compare equal stand for the same integer in every run.
The converse can't hold (it would decide arithmetic), so code asks `same(a, b)`, which answers True, False or
None for "can't tell". Written order is remembered, but not compared, so that `.text()` reads like user code.

Every rewrite made here holds for Python integers of any sign wherever the original expression does not
raise; a division by something that may be zero is therefore still cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import gcd
from operator import mul

from nnx_migrate.linen import dim_bounds, dim_text


@dataclass(frozen=True)
class Symbol:
    """A Python expression such as `features` or `self.dim`; `minimum` is its least value, if known."""

    text: str
    minimum: int | None = field(default=None, compare=False)


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


@dataclass(frozen=True)
class Min:
    """`min(...)` of at least two dims, of which none is known to dominate another."""

    args: tuple[Dim, ...]


@dataclass(frozen=True)
class Opaque:
    """Any other integer expression; `template` holds `{0}`, ... for its arguments: `int({0} * {1})`."""

    template: str
    args: tuple[Dim | float, ...]


Atom = Symbol | FloorDiv | Mod | Max | Min | Opaque


class Monomial:
    """A product of powers of atoms. Order of factors and place of the coefficient matter only for text."""

    __slots__ = ("_hash", "_key", "factors", "number_first")

    def __init__(self, factors: tuple[tuple[Atom, int], ...] = (), number_first: bool = False) -> None:
        self.factors, self.number_first = factors, number_first
        self._key = frozenset(factors)
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Monomial) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    @property
    def degree(self) -> int:
        """The sum of the powers."""
        return sum(power for _, power in self.factors)

    def times(self, other: Monomial) -> Monomial:
        """The product, this one's factors first."""
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


class Dim:
    """An integer known as an expression. `Dim.of(4)`, `Dim.symbol("self.dim")`, `Dim.size("in_features")`.

    Operators: `+ - * // %`, unary minus, `**` with a constant. Unknown dims (`Dim.unknown(reason)`) absorb
    everything and equal nothing, not even themselves; `reason` says why. Truth value and order are
    deliberately undefined: use `same`, `at_least` and `.const`.
    """

    __slots__ = ("_hash", "_key", "reason", "terms")

    def __init__(self, terms: Mapping[Monomial, int], reason: str | None = None) -> None:
        self.terms = {monomial: number for monomial, number in terms.items() if number}
        self.reason = reason
        self._key = frozenset(self.terms.items())
        const = self.const
        self._hash = hash(const) if const is not None else hash((self._key, reason))

    # ---- construction -------------------------------------------------------------------------------------

    @staticmethod
    def of(value: int | Dim) -> Dim:
        """A dim for an int; dims come back unchanged."""
        return value if isinstance(value, Dim) else Dim({ONE: int(value)})

    @staticmethod
    def symbol(text: str, minimum: int | None = None) -> Dim:
        """The value of the Python expression `text`, an int not less than `minimum`."""
        return Dim({Monomial(((Symbol(text, minimum), 1),)): 1})

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
        for arg in args:
            if isinstance(arg, Dim) and arg.reason is not None:
                return Dim.unknown(arg.reason)
        numbers = [arg.const if isinstance(arg, Dim) else arg for arg in args]
        if all(number is not None for number in numbers):
            value = dim_text.evaluate(template.format(*(f"({number!r})" for number in numbers)))
            if isinstance(value, int):
                return Dim.of(value)
        return _atom(Opaque(template, args))

    # ---- facts --------------------------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """Whether this is an expression at all."""
        return self.reason is None

    @property
    def const(self) -> int | None:
        """The value, if it is a plain number."""
        if self.reason is not None:
            return None
        if not self.terms:
            return 0
        if len(self.terms) == 1 and ONE in self.terms:
            return self.terms[ONE]
        return None

    def symbols(self) -> frozenset[str]:
        """The texts of all symbols within."""
        return frozenset(symbol.text for symbol in _symbols(self))

    def substitute(self, value: Callable[[str], Dim | float | None]) -> Dim:
        """With symbols replaced: `value(text)` gives a dim, an int, a float (only useful in opaque
        expressions) or None to keep the symbol."""
        if self.reason is not None:
            return self
        total = Dim.of(0)
        for monomial, number in self.terms.items():
            product = Dim.of(number)
            for atom, power in monomial.factors:
                new = _substitute_atom(atom, value)
                if not isinstance(new, Dim):
                    return Dim.unknown(f"{new} is not an integer")
                product = product * new**power if monomial.number_first else new**power * product
            total = total + product
        return total

    def text(self, rename: Callable[[str], str] | None = None) -> str:
        """Python source of this expression; `rename` maps a symbol's text to the text to write."""
        return dim_text.render(self, rename)

    # ---- arithmetic ---------------------------------------------------------------------------------------

    def __add__(self, other: int | Dim) -> Dim:
        other = Dim.of(other)
        if (unknown := _unknown(self, other)) is not None:
            return unknown
        terms = dict(self.terms)
        for monomial, number in other.terms.items():
            terms[monomial] = terms.get(monomial, 0) + number
        return Dim(terms)

    def __mul__(self, other: int | Dim) -> Dim:
        other = Dim.of(other)
        if (unknown := _unknown(self, other)) is not None:
            return unknown
        leads = self.const is not None and other.const is None and self.const != 1
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
        return self + -Dim.of(other)

    def __pow__(self, power: int) -> Dim:
        if power < 0:
            return Dim.unknown("a negative power")
        return reduce(mul, [self] * power, Dim.of(1))

    def __floordiv__(self, other: int | Dim) -> Dim:
        return _divide(self, Dim.of(other))[0]

    def __mod__(self, other: int | Dim) -> Dim:
        return _divide(self, Dim.of(other))[1]

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
        return self.reason is None and other.reason is None and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        raise TypeError("a symbolic size has no truth value; use .const or same()")

    def __repr__(self) -> str:
        return f"Dim({self.text()})" if self.reason is None else f"Dim(unknown: {self.reason})"


# ---- questions ---------------------------------------------------------------------------------------------


def same(a: int | Dim, b: int | Dim) -> bool | None:
    """Whether both are the same integer in every run (True), in no run (False), or can't be told (None)."""
    difference = Dim.of(a) - Dim.of(b)
    if not difference.known:
        return None
    if difference.const is not None:
        return difference.const == 0
    for side in (difference, -difference):
        bound = dim_bounds.lower_bound(side)
        if bound is not None and bound > 0:
            return False
    # 2n + 1 is never 2m: what divides all symbolic terms must divide the constant, too.
    constant = difference.terms.get(ONE, 0)
    if constant % reduce(gcd, (n for m, n in difference.terms.items() if m != ONE)):
        return False
    return None


def at_least(a: int | Dim, b: int | Dim) -> bool | None:
    """Whether `a >= b` in every run (True), in no run (False), or can't be told (None)."""
    difference = Dim.of(a) - Dim.of(b)
    if not difference.known:
        return None
    bound = dim_bounds.lower_bound(difference)
    if bound is not None and bound >= 0:
        return True
    bound = dim_bounds.lower_bound(-difference)
    if bound is not None and bound > 0:
        return False
    return None


# ---- functions ---------------------------------------------------------------------------------------------


def product(dims: Iterable[int | Dim]) -> Dim:
    """The product of all, 1 for none: the number of elements of a shape."""
    return reduce(mul, (Dim.of(dim) for dim in dims), Dim.of(1))


def maximum(*dims: int | Dim) -> Dim:
    """`max(...)`."""
    return _extremum(Max, [Dim.of(dim) for dim in dims])


def minimum(*dims: int | Dim) -> Dim:
    """`min(...)`."""
    return _extremum(Min, [Dim.of(dim) for dim in dims])


def ceil_div(a: int | Dim, b: int | Dim) -> Dim:
    """The quotient rounded up, `-(-a // b)`."""
    return -(-Dim.of(a) // b)


# ---- how it is done ----------------------------------------------------------------------------------------


def _atom(atom: Atom) -> Dim:
    return Dim({Monomial(((atom, 1),)): 1})


def _unknown(*dims: Dim) -> Dim | None:
    """A fresh unknown dim if any is unknown (fresh, so that identity never means sameness)."""
    return next((Dim.unknown(dim.reason) for dim in dims if dim.reason is not None), None)


def _extremum(kind: type[Max] | type[Min], dims: list[Dim]) -> Dim:
    if (unknown := _unknown(*dims)) is not None:
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
    return _atom(kind(tuple(sorted(kept, key=lambda dim: (dim.const is not None, dim.text())))))


def _divide(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """`a // b` and `a % b`. Uses (q*b + r) // b == q + r // b and (g*r) // (g*b) == r // b."""
    if (unknown := _unknown(a, b)) is not None:
        return unknown, unknown
    if b == 0:
        unknown = Dim.unknown("a division by zero")
        return unknown, unknown
    if a.const is not None and b.const is not None:
        return Dim.of(a.const // b.const), Dim.of(a.const % b.const)
    if b.const is not None and b.const < 0:
        quotient, remainder = _divide(-a, -b)
        return quotient, -remainder
    if (exact := exact_quotient(a, b)) is not None:
        return exact, Dim.of(0)
    whole, rest = _split_multiples(a, b)
    if at_least(rest, 0) and at_least(b - 1, rest):
        return whole, rest
    common = common_divisor(rest, b)
    small_rest, small_b = exact_quotient(rest, common), exact_quotient(b, common)
    if common != 1 and small_rest is not None and small_b is not None:
        quotient, remainder = _divide(small_rest, small_b)
        return whole + quotient, remainder * common
    return whole + _floor_div(rest, b), _atom(Mod(rest, b))


def _split_multiples(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """`(q, r)` with `a == q * b + r`, taking out the terms that are whole multiples of a one-term `b`."""
    if len(b.terms) != 1:
        return Dim.of(0), a
    ((divisor, number),) = b.terms.items()
    whole: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for monomial, coefficient in a.terms.items():
        quotient = monomial.divided_by(divisor)
        if quotient is None or (coefficient % number and monomial != ONE):
            rest[monomial] = coefficient
            continue
        # A constant is split into a multiple and a rest in [0, b): (n - 1) // 2 becomes (n + 1) // 2 - 1.
        whole[quotient] = coefficient // number
        rest[monomial] = coefficient % number
    return Dim(whole), Dim(rest)


def _floor_div(rest: Dim, b: Dim) -> Dim:
    """`rest // b` as an atom in canonical form."""
    divisor, constant = b.const, rest.terms.get(ONE, 0)
    if divisor is not None and rest.terms[max(rest.terms, key=_order)] < 0:
        # -x // b == -((x + b - 1) // b): one form for both ways to round up.
        return -_divide(-rest + (divisor - 1), b)[0]
    inner = single_atom(rest - constant)
    if isinstance(inner, FloorDiv) and at_least(b, 0):
        # (x // m + c) // b == (x + c * m) // (m * b)
        return (inner.numerator + constant * inner.denominator) // (inner.denominator * b)
    return _atom(FloorDiv(rest, b))


def common_divisor(a: Dim, b: Dim) -> Dim:
    """A one-term divisor of both: the gcd of all coefficients times the common atoms."""
    terms = [*a.terms.items(), *b.terms.items()]
    number = reduce(gcd, (n for _, n in terms))
    monomial = reduce(Monomial.common, (m for m, _ in terms))
    return Dim({monomial: number})


def exact_quotient(a: Dim, b: Dim) -> Dim | None:
    """`q` with `q * b == a` identically, or None: polynomial division by the leading term."""
    if not a.known or not b.known or b == 0:
        return None
    if len(b.terms) == 1:
        return _quotient_by_term(a, b)
    leading = max(b.terms, key=_order)
    quotient, rest = Dim.of(0), a
    while rest.terms:
        monomial = max(rest.terms, key=_order)
        factor = monomial.divided_by(leading)
        number, remainder = divmod(rest.terms[monomial], b.terms[leading])
        if factor is None or remainder:
            return None
        step = Dim({factor: number})
        quotient, rest = quotient + step, rest - step * b
    return quotient


def _quotient_by_term(a: Dim, b: Dim) -> Dim | None:
    """Every term divided by the only term of `b`, in the order in which they stand."""
    ((divisor, number),) = b.terms.items()
    terms: dict[Monomial, int] = {}
    for monomial, coefficient in a.terms.items():
        quotient = monomial.divided_by(divisor)
        if quotient is None or coefficient % number:
            return None
        terms[quotient] = coefficient // number
    return Dim(terms)


def _order(monomial: Monomial) -> tuple[int, list[tuple[tuple[int, ...], int]]]:
    """A monomial order as division needs it: by degree, then lexicographic, the atom first in the alphabet
    being the most significant (hence the negated letters)."""
    atoms = sorted((dim_text.render(_atom(atom)), power) for atom, power in monomial.factors)
    return monomial.degree, [((*(-ord(c) for c in text), 1), power) for text, power in atoms]


def single_atom(dim: Dim) -> Atom | None:
    """The atom that the dim consists of, None if it is anything else than one atom."""
    if len(dim.terms) == 1:
        ((monomial, number),) = dim.terms.items()
        if number == 1 and monomial.degree == 1:
            return monomial.factors[0][0]
    return None


def _substitute_atom(atom: Atom, value: Callable[[str], Dim | float | None]) -> Dim | float:
    if isinstance(atom, Symbol):
        new = value(atom.text)
        if new is None:
            return _atom(atom)
        return Dim.of(new) if isinstance(new, int) else new
    if isinstance(atom, Opaque):
        return Dim.opaque(atom.template, *(_substitute_argument(arg, value) for arg in atom.args))
    if isinstance(atom, FloorDiv):
        return atom.numerator.substitute(value) // atom.denominator.substitute(value)
    if isinstance(atom, Mod):
        return atom.numerator.substitute(value) % atom.denominator.substitute(value)
    args = [arg.substitute(value) for arg in atom.args]
    return maximum(*args) if isinstance(atom, Max) else minimum(*args)


def _substitute_argument(arg: Dim | float, value: Callable[[str], Dim | float | None]) -> Dim | float:
    """An argument of an opaque expression, which may be a bare symbol for a float."""
    if not isinstance(arg, Dim):
        return arg
    atom = single_atom(arg)
    return arg.substitute(value) if atom is None else _substitute_atom(atom, value)


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
