"""Truth values, and the expressions that depend on them: `and`, `or`, `a if c else b`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.dims.bounds import lower_bound
from nnx_migrate.linen.dims.choices import first_of
from nnx_migrate.linen.interpreter.branches import control
from nnx_migrate.linen.interpreter.branches.joined_modules import rematerialised
from nnx_migrate.linen.interpreter.branches.repeated import decided_by
from nnx_migrate.linen.interpreter.convert import as_dim, text_of
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.static_text import static_text, wrapped
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.function_choices import one_of_functions
from nnx_migrate.linen.interpreter.state.initialisation import combined, only_initially
from nnx_migrate.linen.interpreter.submodules.class_choices import in_place, one_of_classes
from nnx_migrate.linen.values import Closure, Expr, InitFlag, Instance, ModuleList, SizeTest


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


@evaluates(ast.BoolOp)
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
    told = [v for v in values if isinstance(v, Expr | SizeTest)]
    equal = tuple(pair for v in told for pair in (v.when_false if is_or else v.when_true))
    equalities: dict[str, Any] = {"when_false" if is_or else "when_true": equal}
    texts = [text_of(v) for v in values]
    if None in texts:
        reason = "a choice between values"
        return SizeTest(reason, **equalities) if equal else Unknown(reason)
    sizes = [dim for v in values if (dim := as_dim(v)) is not None]
    kind = "int" if len(sizes) == len(values) else ""
    if is_or and kind and isinstance(values[-1], Dim):  # such as the size of an array
        return first_of(sizes)
    text = (" or " if is_or else " and ").join(wrapped(str(t)) for t in texts)
    return Expr(text, kind, **equalities)


@evaluates(ast.IfExp)
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
    frame.env = decided_by(frame, before, node, holds=True)
    with frame.under(control.branch(node, "body")):
        first = evaluate(frame, node.body)
    env_first, frame.env = frame.env, decided_by(frame, before, node, holds=False)
    with frame.under(control.branch(node, "orelse")):
        second = evaluate(frame, node.orelse)
    frame.env = control.join_envs(frame, env_first, frame.env, node)
    if first == second:
        return first
    lifted = rematerialised(frame, first, second, node)
    if lifted is not None:
        return lifted
    chosen = one_of_classes((first, second)) if control.condition_is_static(frame, node) else None
    if chosen is not None:
        text = static_text(frame, node)
        return in_place(chosen, f"({text})" if text else None)
    functions = one_of_functions(frame, first, second)
    if functions is not None:
        return functions
    text = static_text(frame, node)
    if text is not None and not isinstance(first, Instance) and not isinstance(second, Instance):
        length = _common_length(first, second)
        if length is not None:
            return Expr(f"({text})", "sequence", length)
        return _one_of_both(text, as_dim(first), as_dim(second))
    return control.join(frame, first, second, node, "size")


def _common_length(first: Any, second: Any) -> int | None:
    """How many numbers either of two tuples holds, if they hold nothing else."""
    if not (isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second)):
        return None
    return len(first) if all(as_dim(item) is not None for item in (*first, *second)) else None


def _one_of_both(text: str, first: Dim | None, second: Dim | None) -> Expr | Dim:
    """The value of a conditional expression of the constructor."""
    bounds = [lower_bound(dim) if dim is not None else None for dim in (first, second)]
    known = [bound for bound in bounds if bound is not None]
    if len(known) == 2:
        return Dim.symbol(f"({text})", min(known))
    return Expr(f"({text})", "int" if first is not None and second is not None else "")
