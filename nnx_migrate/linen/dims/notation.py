"""Dims as Python source: readable, with the parentheses that it needs, products shown as products."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

from nnx_migrate.linen import dims
from nnx_migrate.linen.dims import division
from nnx_migrate.linen.dims.terms import Atom, FloorDiv, Max, Mod, Monomial, Opaque, Symbol

Rename = Callable[[str], str] | None

# How tightly a piece of source binds; what binds loosely (`a or b`) needs parentheses in a sum, too.
_LOOSE, _SUM, _PRODUCT, _UNARY, _POWER, _ATOM = range(6)
_NAME = r"([\w.]+(?:§[a-z]-?\d+)?)"
_SIMPLE_POWER = re.compile(rf"{_NAME} ?\*\* ?{_NAME}|\({_NAME} ?\*\* ?{_NAME}\)")
Piece = tuple[str, int]
_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)  # looser than a sum
_CONDITIONAL = "({0} if "  # how the templates of conditional expressions start
_ARGUMENT = r"(?:\w+=)?(?:\{\d+\}|-?[\w.]+)"
_CALL = re.compile(rf"[\w.]+\({_ARGUMENT}(?:, {_ARGUMENT})*\)")  # its arguments need no parentheses


def render(dim: dims.Dim, rename: Rename = None) -> str:
    """Python source of a known dim; raises ValueError for an unknown one."""
    return _dim(dim, rename)[0]


def evaluate(text: str) -> int | float | None:
    """The value of constant arithmetic (`int(3 * 0.5)`, `math.ceil(7 / 2)`); None for anything else."""
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body)
    except (ArithmeticError, KeyError, SyntaxError, TypeError, ValueError):
        return None


_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b if abs(b) <= 64 else math.nan,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "float": float,
    "int": int,
    "max": max,
    "min": min,
    "round": round,
    "math.ceil": math.ceil,
    "math.floor": math.floor,
    "math.isqrt": math.isqrt,
    "math.log": math.log,
    "math.log2": math.log2,
    "math.sqrt": math.sqrt,
}


def _evaluate(node: ast.expr) -> int | float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.Call) and not node.keywords:
        return _FUNCTIONS[ast.unparse(node.func)](*map(_evaluate, node.args))
    raise ValueError("not constant arithmetic")


# ---- polynomials -------------------------------------------------------------------------------------------


def _dim(dim: dims.Dim, rename: Rename) -> Piece:
    if dim.reason is not None:
        raise ValueError(f"an unknown size has no text: {dim.reason}")
    if len(dim.terms) > 1:
        factors = _factors(dim)
        if len(factors) > 1:
            return _product([_dim(factor, rename) for factor in factors]), _PRODUCT
        return _sum(dim, rename), _SUM
    if not dim.terms:
        return "0", _ATOM
    ((monomial, number),) = dim.terms.items()
    return _term(monomial, number, rename)


def _sum(dim: dims.Dim, rename: Rename) -> str:
    """Positive terms first, so that no leading minus is needed."""
    terms = sorted(dim.terms.items(), key=lambda term: term[1] < 0)
    text = ""
    for monomial, number in terms:
        if not text:
            text = _wrapped(_term(monomial, number, rename), _SUM)
        else:
            term = _wrapped(_term(monomial, abs(number), rename), _SUM)
            text += (" + " if number > 0 else " - ") + term
    return text


def _term(monomial: Monomial, number: int, rename: Rename) -> Piece:
    if not monomial.factors:
        return str(number), _ATOM if number >= 0 else _UNARY
    if number == -1:
        text, level = _term(monomial, 1, rename)
        return "-" + _wrapped((text, level), _UNARY), _UNARY
    pieces = [_power(_atom(atom, rename), power) for atom, power in monomial.factors]
    if number != 1:
        pieces.insert(0 if monomial.number_first or number < 0 else len(pieces), (str(number), _ATOM))
    if len(pieces) == 1:
        return pieces[0]
    return _product(pieces), _PRODUCT


def _power(base: Piece, power: int) -> Piece:
    if power == 1:
        return base
    simple = base[1] == _ATOM
    return (f"{base[0]}**{power}" if simple else f"({base[0]}) ** {power}"), _POWER


def _product(pieces: list[Piece]) -> str:
    """A product; anything that is not simple gets parentheses, even `(h // 2) * w`, which needs none."""
    return " * ".join(_wrapped(piece, _UNARY) for piece in pieces)


def _wrapped(piece: Piece, least: int) -> str:
    return piece[0] if piece[1] >= least else f"({piece[0]})"


def _factors(dim: dims.Dim) -> list[dims.Dim]:
    """Factors whose product is `dim`: what all terms share, and sums in one atom each."""
    shared = division.common_divisor(dim, dim)
    ((monomial, number),) = shared.terms.items()
    rest = division.exact_quotient(dim, shared)
    assert rest is not None
    sums: list[dims.Dim] = []
    for atom in _atoms(rest):
        sum_in_atom = _part_in(rest, atom)
        quotient = division.exact_quotient(rest, sum_in_atom) if len(sum_in_atom.terms) > 1 else None
        if quotient is not None:
            sums.append(sum_in_atom)
            rest = quotient
    if rest.const is None:
        sums.append(rest)
    else:
        number *= rest.const
    if number < 0:
        number, sums[-1] = -number, -sums[-1]
    if len(sums) == 1 and not monomial.factors and (number == 1 or not _only_signs(sums[0])):
        # 2 * n + 2 and 4 * n + 2 * m read better than 2 * (n + 1) and 2 * (2 * n + m).
        return [dim]
    factors = [*([dims.Dim({monomial: 1})] if monomial.factors else []), *sums]
    if number == 1:
        return factors
    if any(term.number_first for term in dim.terms):
        return [dims.Dim.of(number), *factors]
    return [*factors, dims.Dim.of(number)]


def _atoms(dim: dims.Dim) -> list[Atom]:
    """All atoms, in the order of the longest products, which is that of the factors before expansion."""
    terms = sorted(dim.terms, key=lambda monomial: -monomial.degree)
    return list(dict.fromkeys(atom for monomial in terms for atom, _ in monomial.factors))


def _only_signs(dim: dims.Dim) -> bool:
    """Whether all terms have a factor of 1 or -1 and none is a plain number."""
    return all(monomial.factors and abs(number) == 1 for monomial, number in dim.terms.items())


def _part_in(dim: dims.Dim, atom: Atom) -> dims.Dim:
    """The terms that share the first term's other factors, divided by these: a polynomial in `atom` alone."""

    def others(monomial: Monomial) -> frozenset[tuple[Atom, int]]:
        return frozenset(factor for factor in monomial.factors if factor[0] != atom)

    first = others(next(m for m in dim.terms if any(a == atom for a, _ in m.factors)))
    part = dims.Dim(
        {
            Monomial(tuple(f for f in m.factors if f[0] == atom)): number
            for m, number in dim.terms.items()
            if others(m) == first
        }
    )
    divisor = division.common_divisor(part, part)
    # The power of the atom comes with a plus, so that (h - 2) * (w - 2) is not (2 - h) * (2 - w).
    falls = next(number for monomial, number in part.terms.items() if monomial.factors) < 0
    primitive = division.exact_quotient(part, -divisor if falls else divisor)
    return part if primitive is None else primitive


# ---- atoms -------------------------------------------------------------------------------------------------


def _atom(atom: Atom, rename: Rename) -> Piece:
    if isinstance(atom, Symbol):
        text = atom.text if rename is None else rename(atom.text)
        return _as_power(text) or _symbol(text)
    if isinstance(atom, FloorDiv | Mod):
        numerator = _wrapped(_dim(atom.numerator, rename), _PRODUCT)
        denominator = _wrapped(_dim(atom.denominator, rename), _UNARY)
        sign = "//" if isinstance(atom, FloorDiv) else "%"
        return f"{numerator} {sign} {denominator}", _PRODUCT
    if isinstance(atom, Opaque):
        args = [_argument(arg, rename) for arg in atom.args]
        if atom.template.startswith(_CONDITIONAL):  # its branches need no parentheses
            return atom.template.format(*args[:2], *(_symbol(arg)[0] for arg in args[2:])), _ATOM
        if _CALL.fullmatch(atom.template) is not None:
            args = [_alone(arg, text, rename) for arg, text in zip(atom.args, args, strict=True)]
        else:
            args = [_symbol(arg)[0] for arg in args]
        text = atom.template.format(*args)
        return _as_power(text) or _symbol(text, wrap=False)
    name = "max" if isinstance(atom, Max) else "min"
    return f"{name}({', '.join(_dim(arg, rename)[0] for arg in atom.args)})", _ATOM


def _alone(arg: dims.Dim | float, text: str, rename: Rename) -> str:
    """The text of an argument of a call, without the parentheses that it has elsewhere."""
    symbol = dims.single_atom(arg) if isinstance(arg, dims.Dim) else None
    if not isinstance(symbol, Symbol):
        return text
    return symbol.text if rename is None else rename(symbol.text)


def _argument(arg: dims.Dim | float, rename: Rename) -> str:
    return repr(arg) if isinstance(arg, int | float) else _dim(arg, rename)[0]


def _as_power(text: str) -> Piece | None:
    """`2**i` for the power of one simple value to another."""
    found = _SIMPLE_POWER.fullmatch(text)
    return ("**".join(filter(None, found.groups())), _POWER) if found is not None else None


@lru_cache(maxsize=4096)
def _symbol(text: str, wrap: bool = True) -> Piece:
    """Source of unknown structure: bound as tightly as it needs. Marks such as `x§a-1` count as names."""
    try:
        node = ast.parse(re.sub(r"§[a-z]-?\d+", "", text.strip()), mode="eval").body
    except SyntaxError:
        return f"({text})", _ATOM
    if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant):
        return text, _ATOM
    if wrap:
        return text if is_enclosed(text) else f"({text})", _ATOM
    is_sum = isinstance(node, ast.BinOp) and not isinstance(node.op, _BITS)
    return text, _SUM if is_sum else _LOOSE


def is_enclosed(text: str) -> bool:
    """Whether one pair of parentheses stands around all of an expression without texts in it."""
    depths = list(accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in text))
    return text.startswith("(") and "'" not in text and '"' not in text and 0 not in depths[:-1]
