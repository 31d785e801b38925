"""Expressions: from an AST node to the value that it stands for."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.dims import Dim, at_least, same
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter import attributes, control
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value, text_of
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.initialisation import combined, negated, only_initially
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.values import (
    Closure,
    Expr,
    InitFlag,
    Input,
    Instance,
    Iterated,
    ModuleList,
    SelfValue,
    VariableValue,
)

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
_OPERATOR_TEXT: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}


def evaluate(frame: Frame, node: ast.expr) -> Any:
    """The value of an expression; effects (constructions, calls of submodules) are recorded on the way."""
    frame.session.tick(node)
    handler = _HANDLERS.get(type(node))
    value = handler(frame, node) if handler else _other(frame, node)
    return frame.record(node, value)


def _other(frame: Frame, node: ast.expr) -> Any:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            evaluate(frame, child)
    return Unknown(f"`{type(node).__name__}` can't be followed")


def _constant(frame: Frame, node: ast.Constant) -> Any:
    return node.value


def _name(frame: Frame, node: ast.Name) -> Any:
    slot = frame.lookup(node.id)
    if slot is None:
        return attributes.global_value(frame, node)
    if not frame.foreign:
        frame.session.facts.static_names[frame.context, node] = slot.static
    return slot.value


def _attribute(frame: Frame, node: ast.Attribute) -> Any:
    qualified = attributes.qualified_name(frame, node)
    if qualified is not None:
        return attributes.named_value(frame, qualified, node)
    return attributes.get(frame, evaluate(frame, node.value), node.attr, node)


def _tuple(frame: Frame, node: ast.Tuple | ast.List) -> Any:
    items: list[Any] = []
    for element in node.elts:
        if isinstance(element, ast.Starred):
            inner = evaluate(frame, element.value)
            if isinstance(inner, Shape) and inner.exact:
                inner = inner.items()
            if not isinstance(inner, tuple | list):
                if isinstance(inner, Shape):
                    return _starred_shape(frame, node)
                for rest in node.elts:
                    evaluate(frame, rest.value if isinstance(rest, ast.Starred) else rest)
                text = _static_text(frame, node)
                return Expr(text, "sequence") if text else Unknown("a sequence of unknown length")
            items.extend(inner)
        else:
            items.append(evaluate(frame, element))
    return items if isinstance(node, ast.List) else tuple(items)


def _starred_shape(frame: Frame, node: ast.Tuple | ast.List) -> Any:
    """`(*x.shape[:-1], n)` where the rank isn't known."""
    shape = Shape()
    for element in node.elts:
        value = evaluate(frame, element.value if isinstance(element, ast.Starred) else element)
        if isinstance(element, ast.Starred):
            if not isinstance(value, Shape):
                return Unknown("a sequence of unknown length")
            shape = shape.concat(value)
        else:
            dim = as_dim(value)
            shape = shape.then(dim if dim is not None else Dim.unknown("a size that can't be followed"))
    return shape


def _dict(frame: Frame, node: ast.Dict) -> Any:
    result: dict[Any, Any] = {}
    certain = True
    for key, value_node in zip(node.keys, node.values, strict=True):
        value = evaluate(frame, value_node)
        if key is None:
            if isinstance(value, dict):
                result.update(value)
            else:
                certain = False
            continue
        name = evaluate(frame, key)
        if isinstance(name, str | int | bool):
            result[name] = value
        else:
            certain = False
    return result if certain else Unknown("a dict whose keys aren't known")


def static_or_unknown(frame: Frame, node: ast.expr, kind: str = "", why: str = "") -> Any:
    """The value of an expression that the constructor can compute, or Unknown."""
    text = _static_text(frame, node)
    return Expr(text, kind) if text else Unknown(why or f"`{ast.unparse(node)}` can't be followed")


def _static_text(frame: Frame, node: ast.expr) -> str | None:
    """The source of a static expression with local variables replaced by what they stand for."""
    if frame.foreign or not is_static(frame, node):
        return None
    replaced: list[bool] = []

    class Inline(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:
            slot = frame.lookup(name.id)
            if slot is None or not isinstance(name.ctx, ast.Load) or isinstance(slot.value, SelfValue):
                return name
            text = text_of(slot.value)
            if text is None:
                replaced.append(False)
                return name
            return ast.Name(
                f"({text})" if not text.replace("§", "_").replace(".", "_").isidentifier() else text
            )

    import copy

    text = ast.unparse(Inline().visit(copy.deepcopy(node)))
    return None if replaced else text


def _binary(frame: Frame, node: ast.BinOp) -> Any:
    left, right = evaluate(frame, node.left), evaluate(frame, node.right)
    return binary(frame, node.op, left, right)


def binary(frame: Frame, op: ast.operator, left: Any, right: Any) -> Any:
    """An operator applied to two values."""
    if isinstance(left, str) and isinstance(op, ast.Mod):
        return Unknown("string formatting")
    a, b = as_dim(left), as_dim(right)
    if a is not None and b is not None and not _is_float(left) and not _is_float(right):
        return _integers(op, a, b)
    if isinstance(left, tuple | list | Shape) or isinstance(right, tuple | list | Shape):
        return _sequences(op, left, right)
    if isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add):
        return left + right
    if _is_scalar(left) and _is_scalar(right):
        return _numbers(op, left, right)
    operator_name = _ARRAY_OPERATORS.get(type(op))
    transfer = registry.effect(f"jax.numpy.{operator_name}")
    if transfer is None:
        return Unknown("an operator that isn't modelled")
    return transfer(effect_value(frame.session, left), effect_value(frame.session, right))


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
    return Expr(f"({a.text()}) {symbol} ({b.text()})", "float") if symbol else Unknown("arithmetic")


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
    return Expr(f"{_wrapped(a)} {symbol} {_wrapped(b)}", "float")


def _wrapped(text: str) -> str:
    simple = (
        text.replace("§", "_").replace(".", "_").replace("-", "_").isalnum()
        or text.replace(".", "").isidentifier()
    )
    return text if simple else f"({text})"


def _sequences(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Add):
        for kind in (tuple, list):
            if isinstance(left, kind) and isinstance(right, kind):
                return kind([*left, *right])
        shapes = [v if isinstance(v, Shape) else _as_shape(v) for v in (left, right)]
        if shapes[0] is not None and shapes[1] is not None:
            return shapes[0].concat(shapes[1])
        texts = [text_of(left), text_of(right)]
        if None not in texts:
            return Expr(" + ".join(_wrapped(str(t)) for t in texts), "sequence")
    if isinstance(op, ast.Mult):
        sequence, count = (left, right) if isinstance(left, tuple | list) else (right, left)
        number = as_dim(count)
        if isinstance(sequence, tuple | list) and number is not None and number.const is not None:
            return sequence * number.const
    return Unknown("an operation on sequences")


def _as_shape(value: Any) -> Shape | None:
    if isinstance(value, tuple | list):
        dims = [as_dim(item) for item in value]
        if all(dim is not None for dim in dims):
            return Shape(tuple(d for d in dims if d is not None))
    return None


def _unary(frame: Frame, node: ast.UnaryOp) -> Any:
    value = evaluate(frame, node.operand)
    if isinstance(node.op, ast.Not):
        if isinstance(value, InitFlag):
            return negated(value)
        decided = truth(value)
        if decided is not None:
            return not decided
        text = text_of(value)
        if isinstance(value, Expr):
            return Expr(
                f"not {_wrapped(value.text)}", "bool", when_true=value.when_false, when_false=value.when_true
            )
        return Expr(f"not {_wrapped(text)}", "bool") if text else Unknown("a condition")
    if isinstance(node.op, ast.USub):
        dim = as_dim(value)
        if dim is not None:
            return -dim
        if isinstance(value, float):
            return -value
        if isinstance(value, Expr):
            return Expr(f"-{_wrapped(value.text)}", value.kind)
    array = effect_value(frame.session, value)
    negative = registry.effect("jax.numpy.negative")
    if isinstance(array, Global) and isinstance(node.op, ast.USub) and negative is not None:
        array = negative(array)  # `-jnp.inf`, `-jnp.finfo(x.dtype).max`
    if isinstance(array, Array):
        return array
    return array if isinstance(array, Unknown) else Unknown("an operator on an unknown value")


def truth(value: Any) -> bool | None:
    """The truth value, None where it can't be told."""
    if isinstance(value, Dim):
        return same(value, 0) is False if same(value, 0) is not None else None
    if value is None or isinstance(value, bool | int | float | str | tuple | list | dict):
        return bool(value)
    if isinstance(value, Closure | Instance | ModuleList):
        return True
    if isinstance(value, InitFlag):
        return value.later
    return None


def _boolean(frame: Frame, node: ast.BoolOp) -> Any:
    """`a and b`, `a or b`: the first value that decides, else a join."""
    is_or = isinstance(node.op, ast.Or)
    values: list[Any] = []
    for index, operand in enumerate(node.values):
        value = evaluate(frame, operand)
        decided = truth(value)
        values.append(value)
        if isinstance(value, InitFlag):
            rest = node.values[index + 1 :]
            return combined([*values, *(evaluate(frame, other) for other in rest)], is_or)
        if decided is not None and decided == is_or:
            break
        if decided is not None:
            values.pop()
            last = value
    if not values:
        return last
    if len(values) == 1:
        return values[0]
    texts = [text_of(v) for v in values]
    if None not in texts:
        kind = "int" if all(as_dim(v) is not None for v in values) else ""
        text = (" or " if is_or else " and ").join(_wrapped(str(t)) for t in texts)
        known = [v for v in values if isinstance(v, Expr)]
        if is_or:
            return Expr(text, kind, when_false=tuple(pair for v in known for pair in v.when_false))
        return Expr(text, kind, when_true=tuple(pair for v in known for pair in v.when_true))
    return Unknown("a choice between values")


def _compare(frame: Frame, node: ast.Compare) -> Any:
    left = evaluate(frame, node.left)
    result: Any = True
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = evaluate(frame, right_node)
        outcome = compare(frame, op, left, right)
        if outcome is False:
            result = False
        elif outcome is not True and result is True:
            result = outcome
        left = right
    if isinstance(result, bool | Array):
        return result
    if frame.foreign and len(node.ops) == 1:
        found = _compared(node.ops[0], evaluate(frame, node.left), left)
    else:
        found = static_or_unknown(frame, node, "bool", "a comparison that can't be decided")
    if isinstance(found, Expr) and len(node.ops) == 1:
        return _with_equality(found, node.ops[0], evaluate(frame, node.left), left)
    return found


def _with_equality(comparison: Expr, op: ast.cmpop, left: Any, right: Any) -> Expr:
    """A comparison that remembers which sizes are equal where it holds, or where it doesn't."""
    a, b = as_dim(left), as_dim(right)
    if a is None or b is None or not a.known or not b.known:
        return comparison
    if isinstance(op, ast.Eq):
        return replace(comparison, when_true=((a, b),))
    return replace(comparison, when_false=((a, b),)) if isinstance(op, ast.NotEq) else comparison


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


def _compared(op: ast.cmpop, left: Any, right: Any) -> Any:
    """A comparison in another module's code, as an expression over what that module was given."""
    texts = [text_of(value) for value in (left, right)]
    if None in texts:
        return Unknown("a comparison that can't be decided")
    return Expr(f"{_wrapped(str(texts[0]))} {_COMPARISONS[type(op)]} {_wrapped(str(texts[1]))}", "bool")


def compare(frame: Frame, op: ast.cmpop, left: Any, right: Any) -> Any:
    """True, False, an array of booleans, or None for can't tell."""
    if isinstance(op, ast.Is | ast.IsNot):
        outcome = _identical(left, right)
        return None if outcome is None else outcome == isinstance(op, ast.Is)
    if isinstance(op, ast.In | ast.NotIn):
        if isinstance(right, tuple | list | dict) and isinstance(left, str | int | None):
            return (left in right) == isinstance(op, ast.In)
        return None
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
    a = left if isinstance(left, Shape) else _as_shape(left)
    b = right if isinstance(right, Shape) else _as_shape(right)
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
    if isinstance(other, Unknown | Input | VariableValue):
        return None
    if isinstance(other, Expr):
        return None
    return False


def _conditional(frame: Frame, node: ast.IfExp) -> Any:
    condition = evaluate(frame, node.test)
    decided = truth(condition)
    control.remember_condition(frame, node, condition)
    if decided is not None:
        if isinstance(condition, InitFlag):
            only_initially(frame, [node.orelse if decided else node.body])
        if not frame.foreign:
            frame.session.facts.decided[frame.context, node] = decided
        return evaluate(frame, node.body if decided else node.orelse)
    before = dict(frame.env)
    with frame.under(control.branch(node, "body")):
        first = evaluate(frame, node.body)
    env_first, frame.env = frame.env, dict(before)
    with frame.under(control.branch(node, "orelse")):
        second = evaluate(frame, node.orelse)
    frame.env = control.join_envs(frame, env_first, frame.env, node)
    if first == second:
        return first
    text = _static_text(frame, node)
    if text is not None and not isinstance(first, Instance) and not isinstance(second, Instance):
        dims = as_dim(first) is not None and as_dim(second) is not None
        return Expr(f"({text})", "int" if dims else "")
    return control.join(frame, first, second, node, "size")


def _subscript(frame: Frame, node: ast.Subscript) -> Any:
    value = evaluate(frame, node.value)
    index = _index(frame, node.slice)
    return attributes.item(frame, value, index, node)


def _index(frame: Frame, node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple):
        return tuple(_index(frame, element) for element in node.elts)
    if isinstance(node, ast.Slice):
        bounds = [
            evaluate(frame, part) if part is not None else None
            for part in (node.lower, node.upper, node.step)
        ]
        numbers = [b.const if isinstance(b, Dim) and b.const is not None else b for b in bounds]
        return slice(*numbers)
    return evaluate(frame, node)


def _lambda(frame: Frame, node: ast.Lambda) -> Any:
    outer = {**(frame.outer or {}), **frame.env}
    return Closure(node, frame.module, outer, frame.self_value, frame.owner)


def _call(frame: Frame, node: ast.Call) -> Any:
    from nnx_migrate.linen.interpreter.calls import call

    return call(frame, node)


def _joined(frame: Frame, node: ast.JoinedStr) -> Any:
    parts: list[str] = []
    certain = True
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = evaluate(frame, part.value)
            dim = as_dim(value)
            if isinstance(value, str):
                parts.append(value)
            elif dim is not None and dim.const is not None:
                parts.append(str(dim.const))
            else:
                certain = False
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value))
    if certain:
        return "".join(parts)
    return static_or_unknown(frame, node, "str")


def _comprehension(frame: Frame, node: ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp) -> Any:
    from nnx_migrate.linen.interpreter.loops import comprehension

    return comprehension(frame, node)


def _walrus(frame: Frame, node: ast.NamedExpr) -> Any:
    value = evaluate(frame, node.value)
    frame.bind(node.target.id, value, False)
    return value


def _starred(frame: Frame, node: ast.Starred) -> Any:
    return evaluate(frame, node.value)


_HANDLERS: dict[type[ast.expr], Callable[[Frame, Any], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Tuple: _tuple,
    ast.List: _tuple,
    ast.Dict: _dict,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _conditional,
    ast.Subscript: _subscript,
    ast.Lambda: _lambda,
    ast.Call: _call,
    ast.JoinedStr: _joined,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.NamedExpr: _walrus,
    ast.Starred: _starred,
}

__all__ = ["Iterated", "Refuse", "binary", "compare", "evaluate", "static_or_unknown", "truth"]
