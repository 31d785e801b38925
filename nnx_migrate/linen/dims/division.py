"""Floor division of dims: what can be cancelled, and one canonical form for the rest.

Uses that (q * b + r) // b == q + r // b and (g * r) // (g * b) == r // b for all integers, whatever their sign.
"""

from __future__ import annotations

from functools import reduce
from math import gcd

from nnx_migrate.linen import dims
from nnx_migrate.linen.dims import notation
from nnx_migrate.linen.dims.terms import ONE, FloorDiv, Mod, Monomial


def divide(a: dims.Dim, b: dims.Dim) -> tuple[dims.Dim, dims.Dim]:
    """`a // b` and `a % b`. Uses (q*b + r) // b == q + r // b and (g*r) // (g*b) == r // b."""
    if (unknown := dims.unknown_among(a, b)) is not None:
        return unknown, unknown
    if b == 0:
        unknown = dims.Dim.unknown("a division by zero")
        return unknown, unknown
    if a.const is not None and b.const is not None:
        return dims.Dim.of(a.const // b.const), dims.Dim.of(a.const % b.const)
    if b.const is not None and b.const < 0:
        quotient, remainder = divide(-a, -b)
        return quotient, -remainder
    if (exact := exact_quotient(a, b)) is not None:
        return exact, dims.Dim.of(0)
    whole, rest = _split_multiples(a, b)
    if dims.at_least(rest, 0) and dims.at_least(b - 1, rest):
        return whole, rest
    common = common_divisor(rest, b)
    small_rest, small_b = exact_quotient(rest, common), exact_quotient(b, common)
    if common != 1 and small_rest is not None and small_b is not None:
        quotient, remainder = divide(small_rest, small_b)
        return whole + quotient, remainder * common
    inner = _without_remainders(rest, b)
    return whole + _floor_div(rest, b), dims.dim_of_atom(Mod(rest, b)) if inner == rest else divide(inner, b)[
        1
    ]


def _without_remainders(a: dims.Dim, b: dims.Dim) -> dims.Dim:
    """`x - y` for `x - y % b`: as good where only the remainder of a division by `b` counts."""
    total = dims.Dim.of(0)
    for monomial, number in a.terms.items():
        term = dims.Dim.of(number)
        for atom, power in monomial.factors:
            is_remainder = isinstance(atom, Mod) and atom.denominator == b
            term = term * (atom.numerator if is_remainder else dims.dim_of_atom(atom)) ** power  # type: ignore[union-attr]
        total = total + term
    return total


def with_padding(terms: dict[Monomial, int]) -> dict[Monomial, int]:
    """`-(-n // b) * b`, the next multiple, for `n + -n % b`: what is padded to be cut in equal parts."""
    for monomial, number in terms.items():
        atom, power = monomial.factors[0] if len(monomial.factors) == 1 else (None, 0)
        if not isinstance(atom, Mod) or power != 1 or not number:
            continue
        if all(terms.get(m, 0) == -number * n for m, n in atom.numerator.terms.items()):
            rest = {m: n for m, n in terms.items() if m != monomial and m not in atom.numerator.terms}
            multiple = atom.denominator * (atom.numerator // atom.denominator) * -number
            for m, n in multiple.terms.items():
                rest[m] = rest.get(m, 0) + n
            return rest
    return terms


def _split_multiples(a: dims.Dim, b: dims.Dim) -> tuple[dims.Dim, dims.Dim]:
    """`(q, r)` with `a == q * b + r`, taking out the terms that are whole multiples of a one-term `b`."""
    if len(b.terms) != 1:
        return dims.Dim.of(0), a
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
    return dims.Dim(whole), dims.Dim(rest)


def _floor_div(rest: dims.Dim, b: dims.Dim) -> dims.Dim:
    """`rest // b` as an atom in canonical form."""
    divisor, constant = b.const, rest.terms.get(ONE, 0)
    if divisor is not None and rest.terms[max(rest.terms, key=_order)] < 0:
        # -x // b == -((x + b - 1) // b): one form for both ways to round up.
        return -divide(-rest + (divisor - 1), b)[0]
    inner = dims.single_atom(rest - constant)
    if isinstance(inner, FloorDiv) and dims.at_least(b, 0):
        # (x // m + c) // b == (x + c * m) // (m * b)
        return (inner.numerator + constant * inner.denominator) // (inner.denominator * b)
    return dims.dim_of_atom(FloorDiv(rest, b))


def rounded_down(dim: dims.Dim) -> dims.Dim:
    """`(n - 1) // b + 1` for quotients rounded up, `-(-n // b)`: one form for both where `b` is at least 1."""
    total = dim
    for monomial, number in dim.terms.items():
        atom, power = monomial.factors[0] if len(monomial.factors) == 1 else (None, 0)
        if not isinstance(atom, FloorDiv) or power != 1 or dims.at_least(atom.denominator, 1) is not True:
            continue
        if all(n < 0 for m, n in atom.numerator.terms.items() if m != ONE):
            down = (-atom.numerator - 1) // atom.denominator + 1
            total = total - dims.Dim({monomial: number}) - down * number
    return total


def common_divisor(a: dims.Dim, b: dims.Dim) -> dims.Dim:
    """A one-term divisor of both: the gcd of all coefficients times the common atoms."""
    terms = [*a.terms.items(), *b.terms.items()]
    number = reduce(gcd, (n for _, n in terms))
    monomial = reduce(Monomial.common, (m for m, _ in terms))
    return dims.Dim({monomial: number})


def exact_quotient(a: dims.Dim, b: dims.Dim) -> dims.Dim | None:
    """`q` with `q * b == a` identically, or None: polynomial division by the leading term."""
    if not a.known or not b.known or b == 0:
        return None
    if len(b.terms) == 1:
        return _quotient_by_term(a, b)
    leading = max(b.terms, key=_order)
    quotient, rest = dims.Dim.of(0), a
    while rest.terms:
        monomial = max(rest.terms, key=_order)
        factor = monomial.divided_by(leading)
        number, remainder = divmod(rest.terms[monomial], b.terms[leading])
        if factor is None or remainder:
            return None
        step = dims.Dim({factor: number})
        quotient, rest = quotient + step, rest - step * b
    return quotient


def _quotient_by_term(a: dims.Dim, b: dims.Dim) -> dims.Dim | None:
    """Every term divided by the only term of `b`, in the order in which they stand."""
    ((divisor, number),) = b.terms.items()
    terms: dict[Monomial, int] = {}
    for monomial, coefficient in a.terms.items():
        quotient = monomial.divided_by(divisor)
        if quotient is None or coefficient % number:
            return None
        terms[quotient] = coefficient // number
    return dims.Dim(terms)


def _order(monomial: Monomial) -> tuple[int, list[tuple[tuple[int, ...], int]]]:
    """A monomial order as division needs it: by degree, then lexicographic, the atom first in the alphabet
    being the most significant (hence the negated letters)."""
    atoms = sorted((notation.render(dims.dim_of_atom(atom)), power) for atom, power in monomial.factors)
    return monomial.degree, [((*(-ord(c) for c in text), 1), power) for text, power in atoms]
