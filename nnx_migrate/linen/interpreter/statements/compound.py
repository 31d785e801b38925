"""Statements around others: `if`, `with`, `try`."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.interpreter.control import branch, join_envs, remember_condition
from nnx_migrate.linen.interpreter.convert import effect_value, input_array
from nnx_migrate.linen.interpreter.dispatch import evaluate, execute, executes
from nnx_migrate.linen.interpreter.expressions.conditions import truth
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.initialisation import after_init, only_initially
from nnx_migrate.linen.interpreter.ranks import array_of_rank, ranks_required
from nnx_migrate.linen.interpreter.repeated import below, restored
from nnx_migrate.linen.interpreter.statements.assignment import assign
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Shape
from nnx_migrate.linen.values import InitFlag, Input


@executes(ast.If)
def _if(frame: Frame, statement: ast.If) -> None:
    condition = evaluate(frame, statement.test)
    decided = truth(condition)
    remember_condition(frame, statement, condition)
    if decided is not None:
        if not frame.foreign:
            frame.session.facts.decided[frame.context, statement] = decided
        if isinstance(condition, InitFlag):
            only_initially(frame, statement.orelse if decided else statement.body)
        with after_init(frame, condition, decided):
            execute(frame, statement.body if decided else statement.orelse)
        return
    if _only_raises(statement.body) and not statement.orelse:
        ranks_required(frame, statement.test, forbidden=True)
    before, attributes_before = dict(frame.env), dict(frame.session.attributes)
    frame.env = below(frame, before, statement, holds=True)
    _assume_ranks(frame, statement.test)
    assumed = dict(frame.env)
    with frame.under(branch(statement, "body")), after_init(frame, condition, True):
        execute(frame, statement.body)
    first, first_ended, frame.ended = restored(frame.env, assumed, before), frame.ended, False
    first_attributes = frame.session.attributes
    frame.env, frame.session.attributes = below(frame, before, statement, holds=False), attributes_before
    assumed = dict(frame.env)
    _assume_equal_shapes(frame, statement.test)
    with frame.under(branch(statement, "orelse")), after_init(frame, condition, False):
        execute(frame, statement.orelse)
    frame.env = restored(frame.env, assumed, before)
    second, second_ended = frame.env, frame.ended
    frame.ended = first_ended and second_ended
    raised = _only_raises(statement.body) if first_ended else _only_raises(statement.orelse)
    if first_ended != second_ended and not raised and not frame.foreign:
        frame.session.facts.exits[frame.context, statement] = "body" if first_ended else "orelse"
    if first_ended and not second_ended:
        if not raised:
            frame.controls = (*frame.controls, branch(statement, "after"))
    elif second_ended and not first_ended:
        frame.env, frame.session.attributes = first, first_attributes
        if not raised:
            frame.controls = (*frame.controls, branch(statement, "after"))
    elif not frame.ended:
        frame.env = join_envs(frame, first, second, statement)
        frame.session.attributes = join_envs(
            frame, first_attributes, frame.session.attributes, statement, of_self=True
        )


def _assume_ranks(frame: Frame, test: ast.expr) -> None:
    """Where `x.ndim == 2` holds, `x` has two axes."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    for part in parts:
        if not (isinstance(part, ast.Compare) and len(part.ops) == 1 and isinstance(part.ops[0], ast.Eq)):
            continue
        measured, rank = part.left, part.comparators[0]
        array = array_of_rank(measured)
        if (
            not isinstance(array, ast.Name)
            or not isinstance(rank, ast.Constant)
            or type(rank.value) is not int
        ):
            continue
        slot = frame.env.get(array.id)
        value = effect_value(frame.session, slot.value) if slot is not None else None
        if slot is not None and isinstance(value, Array) and not value.shape.exact:
            if len(value.shape.dims) <= rank.value:
                dims = tuple(value.shape.dim(axis) for axis in range(-rank.value, 0))
                frame.bind(array.id, Array(Shape(dims), value.dtype, value.weak), slot.static)


def _assume_equal_shapes(frame: Frame, test: ast.expr) -> None:
    """Where `a.shape != b.shape` doesn't hold, `a` has the sizes of `b`."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.NotEq)):
        return
    slots = []
    for side in (test.left, test.comparators[0]):
        if not (
            isinstance(side, ast.Attribute) and side.attr == "shape" and isinstance(side.value, ast.Name)
        ):
            return
        slots.append((side.value.id, frame.env.get(side.value.id)))
    (name, slot), (_, other) = slots
    if slot is None or other is None:
        return
    first, second = (
        input_array(frame.session, s.value) if isinstance(s.value, Input) else s.value for s in (slot, other)
    )
    exact = (
        isinstance(first, Array) and isinstance(second, Array) and first.shape.exact and second.shape.exact
    )
    if exact and len(first.shape.dims) == len(second.shape.dims):
        frame.bind(name, Array(second.shape, first.dtype, first.weak), slot.static)


def _only_raises(body: Sequence[ast.stmt]) -> bool:
    """Whether a branch ends with an exception: then no module behind it is ever left out."""
    return bool(body) and isinstance(body[-1], ast.Raise)


@executes(ast.With)
def _with(frame: Frame, statement: ast.With) -> None:
    for item in statement.items:
        value = evaluate(frame, item.context_expr)
        if item.optional_vars is not None:
            assign(frame, item.optional_vars, value, False, statement)
    execute(frame, statement.body)


@executes(ast.Try)
def _try(frame: Frame, statement: ast.Try) -> None:
    before = len(frame.session.facts.sites)
    execute(frame, statement.body)
    if len(frame.session.facts.sites) != before:
        raise Refuse("unsupported-syntax", "a module is created within `try`", statement)
    execute(frame, statement.orelse)
    execute(frame, statement.finalbody)
