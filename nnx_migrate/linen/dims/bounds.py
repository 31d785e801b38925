"""Provable lower bounds of dims: what lets `n + 1` differ from `n - 1 - k` and a slice length drop its `min`.

A bound holds in every run in which the dim's expression can be evaluated and its symbols keep their minimum.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from types import EllipsisType

from nnx_migrate.linen import dims
from nnx_migrate.linen.dims.terms import ONE, Atom, FloorDiv, Max, Min, Mod, Monomial, Opaque, Symbol

Poly = dict[Monomial, int | Fraction]  # fractions come from floor divisions alone
_MOST_STEPS = 64


def lower_bound(dim: dims.Dim) -> int | None:
    """An integer that `dim` never falls below, or None if none is found."""
    if isinstance(dim.bound, EllipsisType):
        dim.bound = _lower_bound(dim)
    return dim.bound


def ways(dim: dims.Dim) -> tuple[dims.Dim, ...]:
    """Both sizes of one that a condition decides about, the size itself for others."""
    atom = dims.single_atom(dim)
    is_choice = isinstance(atom, Opaque) and atom.template.startswith("({0} if ") and len(atom.args) == 2
    return tuple(map(dims.Dim.of, atom.args)) if is_choice else (dim,)  # type: ignore[union-attr]


def _lower_bound(dim: dims.Dim) -> int | None:
    if dim.reason is not None:
        return None
    bounds = [b for b in (_termwise(dim), _by_expansion(dim)) if b is not None]
    return max(bounds, default=None)


def _atom_bound(atom: Atom) -> int | None:
    """The constant lower bound of one atom."""
    if isinstance(atom, Symbol | Opaque):
        return atom.minimum
    if isinstance(atom, FloorDiv):
        low, divisor = lower_bound(atom.numerator), atom.denominator.const
        if low is None:
            return None
        if divisor is not None and divisor > 0:
            return low // divisor
        positive = lower_bound(atom.denominator)
        return 0 if low >= 0 and positive is not None and positive >= 0 else None
    if isinstance(atom, Mod):
        divisor_bound = lower_bound(atom.denominator)
        return 0 if divisor_bound is not None and divisor_bound >= 0 else None
    if isinstance(atom, Max):
        return max((b for b in map(lower_bound, atom.args) if b is not None), default=None)
    if isinstance(atom, Min):
        bounds = [lower_bound(arg) for arg in atom.args]
        known = [b for b in bounds if b is not None]
        return min(known) if len(known) == len(bounds) else None
    return None


def _termwise(dim: dims.Dim) -> int | None:
    """The sum of the terms' bounds, where all terms but the constant are products of non-negatives."""
    total = 0
    for monomial, number in dim.terms.items():
        if monomial == ONE:
            total += number
            continue
        if number < 0:
            return None
        least = number
        for atom, power in monomial.factors:
            bound = _atom_bound(atom)
            if bound is None or bound < 0:
                return None
            least *= bound**power
        total += least
    return total


def _by_expansion(dim: dims.Dim) -> int | None:
    """Bound compound atoms by polynomials in symbols, then write each symbol as minimum + something >= 0.

    If all coefficients are non-negative then, the constant term is a bound.
    """
    poly: Poly = dict(dim.terms)
    for _ in range(_MOST_STEPS):
        step = _replace_one_compound(poly)
        if step is None:
            break
        if not step:
            return None
        poly = step
    else:
        return None
    if not all(number == 0 or _all_bounded(monomial) for monomial, number in poly.items()):
        return None  # of the products with a symbol without minimum, the longest would be left in the end
    shifted: Poly = {}
    for monomial, number in poly.items():
        for m, n in _shifted(monomial).items():
            shifted[m] = shifted.get(m, 0) + n * number
    for monomial, number in shifted.items():
        if number < 0 and monomial != ONE:
            return None
    return ceil(shifted.get(ONE, 0))


def _all_bounded(monomial: Monomial) -> bool:
    return all(isinstance(atom, Symbol) and atom.minimum is not None for atom, _ in monomial.factors)


def _shifted(monomial: Monomial) -> Poly:
    """The monomial with every symbol s of minimum m replaced by (m + s)."""
    result: Poly = {ONE: 1}
    for atom, power in monomial.factors:
        shift = atom.minimum if isinstance(atom, Symbol) and atom.minimum is not None else 0
        for _ in range(power):
            result = _times(result, {Monomial(((atom, 1),)): 1, ONE: shift})
    return result


def _times(a: Poly, b: Poly) -> Poly:
    result: Poly = {}
    for left, x in a.items():
        for right, y in b.items():
            product = left.times(right)
            result[product] = result.get(product, 0) + x * y
    return result


def _replace_one_compound(poly: Poly) -> Poly | None:
    """The polynomial with one compound atom of one term bounded from the right side.

    None if no compound atom is left, {} if one can't be bounded.
    """
    for monomial, number in poly.items():
        for atom, power in monomial.factors:
            if isinstance(atom, Symbol) or not number:
                continue
            rest = monomial.divided_by(Monomial(((atom, 1),)))
            bound = _linear_bound(atom, upper=number < 0)
            if bound is None or rest is None or not _non_negative(rest) or power > 1:
                return {}
            result = {m: n for m, n in poly.items() if m != monomial}
            for m, n in _times({rest: number}, bound).items():
                result[m] = result.get(m, 0) + n
            return {m: n for m, n in result.items() if n} or {ONE: 0}
    return None


def _non_negative(monomial: Monomial) -> bool:
    bounds = [_atom_bound(atom) for atom, _ in monomial.factors]
    return all(bound is not None and bound >= 0 for bound in bounds)


def _linear_bound(atom: Atom, upper: bool) -> Poly | None:
    """A polynomial never above (or, for `upper`, never below) the atom."""
    if isinstance(atom, FloorDiv):
        divisor = atom.denominator.const
        if divisor is not None and divisor > 0:
            shift = 0 if upper else divisor - 1
            return {m: Fraction(n, divisor) for m, n in (atom.numerator - shift).terms.items()}
        numerator, denominator = lower_bound(atom.numerator), lower_bound(atom.denominator)
        negative = lower_bound(-atom.numerator) if upper else None
        if negative is not None and negative >= 0 and denominator is not None and denominator >= 0:
            return {ONE: -1 if negative else 0}  # `-n // b`, of a quotient rounded up
        if numerator is None or denominator is None or numerator < 0 or denominator < 0:
            return None
        return _poly(atom.numerator) if upper else {ONE: 0}
    if isinstance(atom, Mod):
        low = lower_bound(atom.denominator)
        if low is None or low < 0:
            return None
        return _poly(atom.denominator - 1) if upper else {ONE: 0}
    if isinstance(atom, Max | Min) and upper == isinstance(atom, Min):
        return _poly(atom.args[0])
    bound = _atom_bound(atom)
    return None if upper or bound is None else {ONE: bound}


def _poly(dim: dims.Dim) -> Poly:
    return dict(dim.terms)
