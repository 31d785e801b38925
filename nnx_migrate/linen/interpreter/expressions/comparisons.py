"""Comparisons: of sizes, shapes, arrays and objects."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim, at_least, same
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.factories.compared import asks_for_none
from nnx_migrate.linen.given.arguments import OptionalArray
from nnx_migrate.linen.interpreter.branches.fallbacks import none_test
from nnx_migrate.linen.interpreter.convert import as_dim, as_shape, effect_value, text_of
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown, wrapped
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.values import (
    ClassChoice,
    ClassRef,
    Expr,
    FieldModule,
    Input,
    Iterated,
    Layer,
    LostModule,
    Maybe,
    Partial,
    SizeTest,
    VariableValue,
)
from nnx_migrate.names.nodes import is_none

_LOOSE = re.compile(r"\b(?:or|and|not|if|else|in|is|lambda)\b|[<>=!]")  # binds no closer than a comparison
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}


@evaluates(ast.Compare)
def _compare(frame: Frame, node: ast.Compare) -> Any:
    left = evaluate(frame, node.left)
    result: Any = True
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = evaluate(frame, right_node)
        outcome = None if _asks_optional(frame, node, left) else compare(frame, op, left, right)
        if outcome is False:
            result = False
        elif outcome is not True and result is True:
            result = outcome
        left = right
    if isinstance(result, bool | Array):
        return result
    test = none_test(node.ops[0], evaluate(frame, node.left), left) if len(node.ops) == 1 else None
    if test is not None:
        return test
    if frame.foreign and len(node.ops) == 1:
        compared = evaluate(frame, node.left), left
        found = _is_there(frame, node.ops[0], *compared) or _compared(node.ops[0], *compared)
    else:
        found = static_or_unknown(frame, node, "bool", "a comparison that can't be decided")
        if isinstance(found, Unknown) and len(node.ops) == 1:
            found = _compared(node.ops[0], evaluate(frame, node.left), left)
    if isinstance(found, Expr | Unknown) and len(node.ops) == 1:
        return _with_equality(found, node.ops[0], evaluate(frame, node.left), left)
    return found


def _asks_optional(frame: Frame, node: ast.Compare, left: Any) -> bool:
    """Whether this asks if the module has what its field may hold to make layers: `self.norm is not None`."""
    if not asks_for_none(node) or not isinstance(left, Layer | Partial | ClassRef | ClassChoice):
        return False
    assert isinstance(node.left, ast.Attribute)
    field = frame.session.cls.field(node.left.attr)
    return field is not None and field.default is not None and is_none(field.default)


def _with_equality(comparison: Expr | Unknown, op: ast.cmpop, left: Any, right: Any) -> Expr | Unknown:
    """A comparison that remembers which sizes are equal where it holds, or where it doesn't."""
    pairs = _compared_sizes(left, right)
    if not pairs:
        return comparison
    if isinstance(comparison, Unknown):
        comparison = SizeTest(comparison.reason)
    if isinstance(op, ast.Eq):
        return replace(comparison, when_true=pairs)
    return replace(comparison, when_false=pairs) if isinstance(op, ast.NotEq) else comparison


def _compared_sizes(left: Any, right: Any) -> tuple[tuple[Dim, Dim], ...]:
    """The sizes that are compared with each other: two of them, or those of two shapes that are known."""
    a, b = as_dim(left), as_dim(right)
    pairs = [(a, b)] if a is not None and b is not None else []
    if isinstance(left, Shape) and isinstance(right, Shape):
        pairs = list(zip(left.dims[::-1], right.dims[::-1], strict=False))
    return tuple((a, b) for a, b in pairs if a.known and b.known)


def _is_there(frame: Frame, op: ast.cmpop, left: Any, right: Any) -> Expr | None:
    """Whether another module has a submodule that it makes under a condition (`self.shortcut is not None`)."""
    module = left if right is None else right if left is None else None
    if not (isinstance(op, ast.Is | ast.IsNot) and isinstance(module, Maybe) and module.branch is not None):
        return None
    text = frame.session.conditions.get(module.branch)
    asked = frame.session.equalities.get(module.branch)
    if text is None:
        return None
    one, other = (asked.when_true, asked.when_false) if asked is not None else ((), ())
    if module.holds == isinstance(op, ast.IsNot):
        return Expr(text, "bool", when_true=one, when_false=other)
    return Expr(f"not {wrapped(text)}", "bool", when_true=other, when_false=one)


def _compared(op: ast.cmpop, left: Any, right: Any) -> Any:
    """A comparison in another module's code, as an expression over what that module was given."""
    texts = [text_of(value) for value in (left, right)]
    if None in texts:
        return Unknown("a comparison that can't be decided")
    first, second = (
        str(text) if isinstance(value, Dim) and not _LOOSE.search(str(text)) else wrapped(str(text))
        for value, text in zip((left, right), texts, strict=True)
    )
    return Expr(f"{first} {_COMPARISONS[type(op)]} {second}", "bool")


def compare(frame: Frame, op: ast.cmpop, left: Any, right: Any) -> Any:
    """True, False, an array of booleans, or None for can't tell."""
    if isinstance(op, ast.Is | ast.IsNot):
        outcome = _identical(left, right)
        return None if outcome is None else outcome == isinstance(op, ast.Is)
    if isinstance(op, ast.In | ast.NotIn):
        if isinstance(right, Iterated) and right.kind == "keys":
            (right,) = right.args
        plain = isinstance(right, dict) or (
            isinstance(right, tuple | list)
            and not any(isinstance(item, Dim | Expr | Unknown) for item in right)
        )
        if plain and isinstance(left, str | int | None):
            return (left in right) == isinstance(op, ast.In)
        found = _is_among(left, right)
        return None if found is None else found == isinstance(op, ast.In)
    a, b = as_dim(left), as_dim(right)
    if isinstance(op, ast.Eq | ast.NotEq):
        outcome = None
        if a is not None and b is not None:
            outcome = same(a, b)
        elif isinstance(left, Shape) or isinstance(right, Shape):
            outcome = same_shapes(left, right)
        elif isinstance(left, str | bool | None | float | tuple) and isinstance(
            right, str | bool | None | float | tuple
        ):
            if not _contains_symbol(left) and not _contains_symbol(right):
                outcome = left == right
        elif isinstance(left, Array | Input) or isinstance(right, Array | Input):
            return _array_comparison(frame, left, right)
        return None if outcome is None else outcome == isinstance(op, ast.Eq)
    if a is not None and b is not None:
        if isinstance(op, ast.GtE):
            return at_least(a, b)
        if isinstance(op, ast.Gt):
            return at_least(a, b + 1)
        if isinstance(op, ast.LtE):
            return at_least(b, a)
        return at_least(b, a + 1)
    if isinstance(left, Array | Input) or isinstance(right, Array | Input):
        return _array_comparison(frame, left, right)
    return None


def _is_among(value: Any, items: Any) -> bool | None:
    """Whether a number is one of several, None where that can't be told."""
    number = as_dim(value)
    if number is None or not isinstance(items, tuple | list):
        return None
    others = [as_dim(item) for item in items]
    outcomes = [same(number, other) if other is not None else None for other in others]
    if True in outcomes:
        return True
    return None if None in outcomes else False


def _array_comparison(frame: Frame, left: Any, right: Any) -> Any:
    transfer = registry.effect("jax.numpy.equal")
    result = (
        transfer(effect_value(frame.session, left), effect_value(frame.session, right)) if transfer else None
    )
    return result if isinstance(result, Array) else None


def _contains_symbol(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_contains_symbol(item) for item in value)
    return isinstance(value, Dim | Expr | Unknown | Input)


def same_shapes(left: Any, right: Any) -> bool | None:
    """Whether two shapes are equal: an unknown rank only matters where the leads differ."""
    a = left if isinstance(left, Shape) else as_shape(left)
    b = right if isinstance(right, Shape) else as_shape(right)
    if a is None or b is None:
        return None
    if a.exact and b.exact and len(a.dims) != len(b.dims):
        return False
    outcomes = [same(x, y) for x, y in zip(reversed(a.dims), reversed(b.dims), strict=False)]
    if False in outcomes:
        return False
    leads_equal = a.lead == b.lead and (a.exact or bool(a.lead)) and len(a.dims) == len(b.dims)
    return True if leads_equal and all(outcomes) else None


def _identical(left: Any, right: Any) -> bool | None:
    if left is not None and right is not None:
        if isinstance(left, bool) and isinstance(right, bool):
            return left is right
        return None
    other = right if left is None else left
    if other is None:
        return True
    if isinstance(other, OptionalArray):
        return None
    if isinstance(other, Unknown | Input | VariableValue | Expr | Maybe | LostModule):
        return None
    return None if isinstance(other, FieldModule) and other.optional else False
