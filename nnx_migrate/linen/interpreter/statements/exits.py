"""Where control leaves: `return`, `raise`, `break` and `continue`; and what a function returns."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.interpreter.branches import fallbacks
from nnx_migrate.linen.interpreter.branches.control import join
from nnx_migrate.linen.interpreter.convert import input_array
from nnx_migrate.linen.interpreter.dispatch import evaluate, executes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.function_choices import one_of_functions
from nnx_migrate.linen.interpreter.lists.steps import without_lists
from nnx_migrate.linen.interpreter.submodules.class_choices import one_of_classes
from nnx_migrate.linen.interpreter.submodules.returned_classes import are_classes
from nnx_migrate.linen.values import Input


@executes(ast.Return)
def _return(frame: Frame, statement: ast.Return) -> None:
    value = evaluate(frame, statement.value) if statement.value is not None else None
    value = without_lists(value)
    frame.returns.append((value, statement))
    _remember_return(frame, statement)
    fallbacks.remember_return(frame, statement)
    frame.ended = True


def returned(frame: Frame, only_called: bool = False) -> Any:
    """The function's result over all its return statements. `only_called`: whether it is used as a function alone."""
    values = list(frame.returns)
    if not frame.ended and not _is_complete(frame) and not (only_called and are_classes(frame)):
        values.append((None, None))
    if not values:
        return None
    result = values[-1][0]
    for value, node in reversed(values[:-1]):
        if value != result:
            result = _join_returns(frame, value, result, node)
    return result


def _is_complete(frame: Frame) -> bool:
    """Whether a function returns arrays for every configuration that it knows: `if self.depth == 1: ... return x`.

    For others it returns nothing that a model could compute with.
    """
    known = frame.session.conditions
    return bool(frame.returns) and all(
        isinstance(value, Array | Input) and (frame.context, statement) in known
        for value, statement in frame.returns
    )


def _join_returns(frame: Frame, a: Any, b: Any, node: ast.AST) -> Any:
    given = fallbacks.given_or_fallback(frame, a, b, node)
    if given is not None:
        return given
    if isinstance(a, Input):
        a = input_array(frame.session, a)
    if isinstance(b, Input):
        b = input_array(frame.session, b)
    chosen = one_of_classes((a, b)) if (frame.context, node) in frame.session.conditions else None
    found = chosen or one_of_functions(frame, a, b)
    return found if found is not None else join(frame, a, b, node, "result")


@executes(ast.Raise)
def _raise(frame: Frame, statement: ast.Raise) -> None:
    frame.ended = True


@executes(ast.Break, ast.Continue)
def _jump(frame: Frame, statement: ast.stmt) -> None:
    """`break` and `continue`: what follows in the branch isn't reached."""
    frame.jumps.append((statement, dict(frame.env)))
    frame.ended = True


def _remember_return(frame: Frame, statement: ast.Return) -> None:
    """Remember under which condition a function ends here, if the constructor can compute that."""
    terms: list[tuple[str, bool]] = []
    for control in frame.controls[frame.outer_controls :]:
        if control.branch == "after":
            continue  # what came before has returned something else
        condition = frame.session.conditions.get((frame.context, control.node))
        if condition is None or control.branch not in ("body", "orelse"):
            return
        terms.append((condition, control.branch == "body"))
    texts = [condition if holds else f"not ({condition})" for condition, holds in terms]
    if texts:
        joined = texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts)
        frame.session.conditions[frame.context, statement] = joined
        frame.session.exits[frame.context, statement] = tuple(terms)
