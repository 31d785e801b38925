"""Values of which the module's configuration decides: `return x, () if self.scan_layers else x`.

Code that asks the same condition again knows which of the two it has.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.arrays.tuple_choices import plain_value
from nnx_migrate.linen.symbols import TOKEN

#: Conditions as text, with what they are: all of them together decide.
Terms = tuple[tuple[str, bool], ...]
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.NotEq: ast.Eq, ast.IsNot: ast.Is, ast.NotIn: ast.In}


@dataclass(frozen=True)
class Configured(Unknown):
    """One of two values: `there` where all of some conditions over fields are as they say, else `instead`."""

    terms: Terms = ()
    there: Any = None
    instead: Any = None

    def each(self, change: Callable[[Any], Any]) -> Configured:
        """The same choice among what `change` makes of the two."""
        there, instead = (_kept(change(_as_it_was(v)), self.reason) for v in (self.there, self.instead))
        return replace(self, there=there, instead=instead)


@cache
def terms(condition: str, holds: bool) -> Terms:
    """What a condition that holds (or doesn't) says, in the form in which it is compared with others."""
    try:
        return _terms(ast.parse(condition.strip(), mode="eval").body, holds)
    except SyntaxError:  # tokens of sizes
        return ((condition, holds),)


def _terms(test: ast.expr, holds: bool) -> Terms:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _terms(test.operand, not holds)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) == holds:
        return tuple(term for part in test.values for term in _terms(part, holds))
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _OPPOSITE:
        equal = ast.Compare(test.left, [_OPPOSITE[type(test.ops[0])]()], test.comparators)
        return ((ast.unparse(equal), not holds),)
    return ((ast.unparse(test), holds),)


def configured(conditions: Terms, there: Any, instead: Any, reason: str) -> Unknown:
    """One of two values; unknown, if the conditions don't mean the same wherever they are asked."""
    if not conditions or any(TOKEN.search(text) for text, _ in conditions):
        return Unknown(reason)
    told = tuple(term for condition in conditions for term in terms(*condition))
    return Configured(reason, told, _kept(there, reason), _kept(instead, reason))


@dataclass(frozen=True)
class _Items:
    """A dict as it was: what holds it may be compared and hashed, and nobody changes it."""

    of: tuple[tuple[Any, Any], ...]


def _kept(value: Any, reason: str) -> Any:
    """A value without modules, lists and other things whose changes would have to be followed."""
    if type(value) is tuple:
        return tuple(_kept(item, reason) for item in value)
    if type(value) is dict:
        return _Items(tuple((key, _kept(item, reason)) for key, item in value.items()))
    return plain_value(value, reason)


def _as_it_was(value: Any) -> Any:
    if type(value) is tuple:
        return tuple(map(_as_it_was, value))
    return {key: _as_it_was(item) for key, item in value.of} if isinstance(value, _Items) else value


def decided(value: Any, known: Mapping[str, bool]) -> Any:
    """What a value is where these conditions hold, or don't."""
    while isinstance(value, Configured):
        asked = [(text, holds) for text, holds in value.terms if text in known]
        if any(known[text] != holds for text, holds in asked):
            value = _as_it_was(value.instead)
        elif len(asked) == len(value.terms):
            value = _as_it_was(value.there)
        else:
            return value
    if type(value) is tuple and any(isinstance(item, Configured) for item in value):
        return tuple(decided(item, known) for item in value)
    return value
