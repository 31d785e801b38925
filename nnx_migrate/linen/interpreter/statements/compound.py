"""Statements around others: `if`, `with`, `try`."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.interpreter.branches.control import branch, join_envs, remember_condition
from nnx_migrate.linen.interpreter.branches.repeated import below, restored
from nnx_migrate.linen.interpreter.dispatch import evaluate, execute, executes
from nnx_migrate.linen.interpreter.expressions.conditions import truth
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.last_round import holds_before_last, leave_in_last_round
from nnx_migrate.linen.interpreter.ranks.assumptions import assume_equal_shapes, assume_ranks
from nnx_migrate.linen.interpreter.ranks.patterns import ranks_required
from nnx_migrate.linen.interpreter.state.initialisation import after_init, only_initially
from nnx_migrate.linen.interpreter.statements.assignment import assign
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import InitFlag


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
    before_last = holds_before_last(frame, statement)
    if _only_raises(statement.body) and not statement.orelse:
        ranks_required(frame, statement.test, forbidden=True)
    before, attributes_before = dict(frame.env), dict(frame.session.attributes)
    frame.env = below(frame, before, statement, holds=True)
    assume_ranks(frame, statement.test, holds=True)
    assumed = dict(frame.env)
    with frame.under(branch(statement, "body")), after_init(frame, condition, True):
        execute(frame, statement.body)
    first, first_ended, frame.ended = restored(frame.env, assumed, before), frame.ended, False
    first_attributes = frame.session.attributes
    frame.env, frame.session.attributes = below(frame, before, statement, holds=False), attributes_before
    assume_ranks(frame, statement.test, holds=False)
    assumed = dict(frame.env)
    assume_equal_shapes(frame, statement.test)
    with frame.under(branch(statement, "orelse")), after_init(frame, condition, False):
        execute(frame, statement.orelse)
    frame.env = restored(frame.env, assumed, before)
    second, second_ended = frame.env, frame.ended
    frame.ended = first_ended and second_ended
    raised = _only_raises(statement.body) if first_ended else _only_raises(statement.orelse)
    if first_ended != second_ended and not raised and not frame.foreign:
        frame.session.facts.exits[frame.context, statement] = "body" if first_ended else "orelse"
    if first_ended and not second_ended:
        assume_ranks(frame, statement.test, holds=False, inputs=False)
        if not raised:
            frame.controls = (*frame.controls, branch(statement, "after"))
    elif second_ended and not first_ended:
        frame.env, frame.session.attributes = first, first_attributes
        assume_ranks(frame, statement.test, holds=True, inputs=False)
        if not raised:
            frame.controls = (*frame.controls, branch(statement, "after"))
    elif not frame.ended:
        frame.env = join_envs(frame, first, second, statement)
        if before_last is not None:
            going, last = (first, second) if before_last else (second, first)
            leave_in_last_round(frame, statement, going, last)
        frame.session.attributes = join_envs(
            frame, first_attributes, frame.session.attributes, statement, of_self=True
        )


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
