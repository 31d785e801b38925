"""Operators on sizes, numbers, sequences and arrays."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import present
from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.arrays.spread_shapes import Sizes
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, TupleOrNone, concatenated
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.interpreter.convert import as_dim, as_shape, effect_value, text_of
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.conditions import truth
from nnx_migrate.linen.interpreter.expressions.static_text import wrapped
from nnx_migrate.linen.interpreter.frame import Frame, mixes
from nnx_migrate.linen.interpreter.ranks.long_axes import LongAxes
from nnx_migrate.linen.interpreter.sizes.numbers import combined
from nnx_migrate.linen.interpreter.sizes.spread_sizes import in_a_row
from nnx_migrate.linen.interpreter.state.initialisation import negated
from nnx_migrate.linen.mixed_lists import joined
from nnx_migrate.linen.values import ArrayOrNumber, BuiltList, Expr, InitFlag

_ARRAY_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "power",
    ast.MatMult: "matmul",
    ast.BitAnd: "bitwise_and",
    ast.BitOr: "bitwise_or",
    ast.BitXor: "bitwise_xor",
    ast.LShift: "left_shift",
    ast.RShift: "right_shift",
}
_SEQUENCES = (tuple, list, Shape, Sizes)
_BROADCASTING = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_OPERATOR_TEXT: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}


@evaluates(ast.BinOp)
def _binary(frame: Frame, node: ast.BinOp) -> Any:
    left, right = evaluate(frame, node.left), evaluate(frame, node.right)
    return binary_at(frame, node, node.op, left, right)


def binary_at(frame: Frame, node: ast.expr | ast.stmt, op: ast.operator, left: Any, right: Any) -> Any:
    """An operator that stands in the code, applied to two values."""
    if not frame.long_axes or not isinstance(op, _BROADCASTING):
        return binary(frame, op, left, right)
    axes = LongAxes(frame, node)
    return axes.unmarked(binary(frame, op, axes.marked(left), axes.marked(right)))


def binary(frame: Frame, op: ast.operator, left: Any, right: Any) -> Any:
    """An operator applied to two values."""
    if isinstance(left, BuiltList):
        return left  # with what is added to it
    modules = joined(left, right) if isinstance(op, ast.Add) and mixes(frame) else None
    if modules is not None:
        return modules
    if isinstance(left, str) and isinstance(op, ast.Mod):
        return Unknown("string formatting")
    left, right = present(left), present(right)
    a, b = as_dim(left), as_dim(right)
    if a is not None and b is not None and not _is_float(left) and not _is_float(right):
        return _integers(op, a, b)
    if isinstance(op, ast.Add) and any(isinstance(side, TupleChoice | TupleOrNone) for side in (left, right)):
        return concatenated(left, right, "an operation on sequences")
    if isinstance(left, _SEQUENCES) or isinstance(right, _SEQUENCES):
        return _sequences(op, left, right)
    if isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add):
        return left + right
    if _is_scalar(left) and _is_scalar(right):
        return _numbers(op, left, right)
    operator_name = _ARRAY_OPERATORS.get(type(op))
    transfer = registry.effect(f"jax.numpy.{operator_name}")
    if transfer is None:
        return Unknown("an operator that isn't modelled")
    operands = effect_value(frame.session, left), effect_value(frame.session, right)
    if any(isinstance(operand, ArrayOrNumber) for operand in operands):
        return combined(transfer, *operands)
    return transfer(*operands)


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, Expr) and value.kind == "float")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | Dim | Expr)


def _integers(op: ast.operator, a: Dim, b: Dim) -> Any:
    if isinstance(op, ast.Add):
        return a + b
    if isinstance(op, ast.Sub):
        return a - b
    if isinstance(op, ast.Mult):
        return a * b
    if isinstance(op, ast.FloorDiv):
        return a // b
    if isinstance(op, ast.Mod):
        return a % b
    if isinstance(op, ast.Pow):
        if b.const is not None and 0 <= b.const <= 16:
            return a**b.const
        return Dim.opaque("{0} ** {1}", a, b) if a.known and b.known else Dim.unknown("a power")
    if not a.known or not b.known:
        return Unknown("arithmetic on unknown sizes")
    symbol = _OPERATOR_TEXT.get(type(op))
    return (
        Expr(f"{wrapped(a.text())} {symbol} {wrapped(b.text())}", "float")
        if symbol
        else Unknown("arithmetic")
    )


def _numbers(op: ast.operator, left: Any, right: Any) -> Any:
    symbol = _OPERATOR_TEXT.get(type(op))
    a, b = text_of(left), text_of(right)
    if symbol is None or a is None or b is None:
        return Unknown("arithmetic on unknown numbers")
    constants = [
        v if isinstance(v, int | float) else (v.const if isinstance(v, Dim) else None) for v in (left, right)
    ]
    if None not in constants:
        try:
            return eval(f"a {symbol} b", {"__builtins__": {}}, {"a": constants[0], "b": constants[1]})
        except ArithmeticError:
            return Unknown("arithmetic that fails")
    return Expr(f"{wrapped(a)} {symbol} {wrapped(b)}", "float")


def _sizes(value: Any) -> Shape | None:
    """A sequence next to a shape: what isn't known in it is a size that isn't known."""
    if isinstance(value, tuple | list):
        value = type(value)(Dim.unknown(v.reason) if isinstance(v, Unknown) else v for v in value)
    return as_shape(value)


def _sequences(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Add):
        for kind in (tuple, list):
            if isinstance(left, kind) and isinstance(right, kind):
                return kind([*left, *right])
        shapes = [v if isinstance(v, Shape) else _sizes(v) for v in (left, right)]
        if shapes[0] is not None and shapes[1] is not None:
            return shapes[0].concat(shapes[1])
        texts = [text_of(left), text_of(right)]
        text = None if None in texts else " + ".join(wrapped(str(t)) for t in texts)
        found = in_a_row([(left, True), (right, True)], text)
        if found is not None:
            return found
    if isinstance(op, ast.Mult):
        sequence, count = (left, right) if isinstance(left, tuple | list) else (right, left)
        number = as_dim(count)
        if isinstance(sequence, tuple | list) and number is not None and number.const is not None:
            return sequence * number.const
        item = as_dim(sequence[0]) if isinstance(sequence, tuple | list) and len(sequence) == 1 else None
        texts = [text_of(left), text_of(right)]
        if item is not None and item.known and number is not None and None not in texts:
            return Expr(" * ".join(wrapped(str(t)) for t in texts), "sequence", element=item)
    return Unknown("an operation on sequences")


@evaluates(ast.UnaryOp)
def _unary(frame: Frame, node: ast.UnaryOp) -> Any:
    value = evaluate(frame, node.operand)
    if isinstance(node.op, ast.Not):
        if isinstance(value, InitFlag):
            return negated(value)
        if isinstance(value, NoneTest):
            return value.negated
        decided = truth(value)
        if decided is not None:
            return not decided
        text = text_of(value)
        if isinstance(value, Expr):
            return Expr(
                f"not {wrapped(value.text)}", "bool", when_true=value.when_false, when_false=value.when_true
            )
        return Expr(f"not {wrapped(text)}", "bool") if text else Unknown("a condition")
    if isinstance(node.op, ast.USub):
        dim = as_dim(value)
        if dim is not None:
            return -dim
        if isinstance(value, float):
            return -value
        if isinstance(value, Expr):
            return Expr(f"-{wrapped(value.text)}", value.kind)
    array = effect_value(frame.session, value)
    negative = registry.effect("jax.numpy.negative")
    if isinstance(array, Global) and isinstance(node.op, ast.USub) and negative is not None:
        array = negative(array)  # `-jnp.inf`, `-jnp.finfo(x.dtype).max`
    if isinstance(array, Array):
        return array
    return array if isinstance(array, Unknown) else Unknown("an operator on an unknown value")
