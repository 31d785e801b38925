"""Calls of what is a submodule on one path and another submodule, or a function, on the other."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.chosen.functions import ChosenFunction
from nnx_migrate.linen.interpreter.branches.control import branch, either_size
from nnx_migrate.linen.interpreter.branches.joined_results import one_of_results
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import call_closure
from nnx_migrate.linen.interpreter.submodules.pure_modules import is_pure
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Bound, Closure, Either, FieldModule, Instance, Layer


def call_either(
    frame: Frame,
    either: Either,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call | None,
    method: str = "__call__",
) -> Any:
    """Call each of them in turn: the module is called the same way whichever it is, or refused by the writer.

    A field that the project never gives a module decides about nothing.
    """
    from nnx_migrate.linen.interpreter.calls.apply import apply

    decided = _decided(frame, either)
    if decided is not None:
        return apply(frame, decided, args, kwargs, node)
    if node is None and frame.session.transforms and all(is_pure(value) for value in either.values):
        return _joined(frame, either, [apply(frame, value, args, kwargs, None) for value in either.values])
    if node is None and all(not isinstance(value, Instance) or _is_element(value) for value in either.values):
        results = [apply(frame, value, args, kwargs, None) for value in either.values]
        return _joined(frame, either, [effect_value(frame.session, result) for result in results])
    if node is None:
        raise Refuse("unknown-call", "what is called indirectly is a submodule on one path only")
    outer = frame.context
    results = []
    for index, value in enumerate(either.values):
        marker = frame.session.round_markers.setdefault((node, index), ast.Pass())
        frame.context = (*outer, marker)
        target = value if method == "__call__" else Bound(value, method)
        result = apply(frame, target, args, kwargs, node)
        if not (isinstance(value, FieldModule) and frame.session.given(value.name) == ()):
            results.append(effect_value(frame.session, result))
        if frame.session.recording and not isinstance(value, Instance):
            frame.session.facts.plain_calls.add(node)
    frame.context = outer
    return _joined(frame, either, results)


def _is_element(value: Instance) -> bool:
    """Whether a module is an element of `nn.Sequential`, where it is made."""
    parent = value.site.parent_site
    return parent is not None and parent.target == Layer("Sequential")


def call_chosen(
    frame: Frame, chosen: ChosenFunction, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """Call the function of each branch, below its condition: what it creates exists only there."""
    if node is None:
        raise Refuse("unknown-call", "a function that a condition chooses is called indirectly")
    if not frame.foreign:
        frame.session.facts.chosen[frame.context, node] = chosen
    return _of_each(frame, chosen, args, kwargs, node)


def _of_each(
    frame: Frame,
    chosen: ChosenFunction | Closure,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call,
) -> Any:
    """What one of several functions returns."""
    if isinstance(chosen, Closure):
        return call_closure(frame, chosen, args, kwargs, node, choice=True)
    with frame.under(branch(chosen.statement, "body")):
        first = effect_value(frame.session, _of_each(frame, chosen.body, args, kwargs, node))
    with frame.under(branch(chosen.statement, "orelse")):
        second = effect_value(frame.session, _of_each(frame, chosen.orelse, args, kwargs, node))
    either = Either((first, second), (chosen.context, chosen.statement))
    return _joined(frame, either, [first, second])


def _decided(frame: Frame, either: Either) -> Any:
    """The one of two that is there, where the same condition over fields stands around the call; None for others."""
    known = frame.session.conditions
    condition = known.get(either.branch) if either.branch is not None else None
    if condition is None or len(either.values) != 2:
        return None
    for control in frame.controls:
        if known.get((frame.context, control.node)) == condition and control.branch in ("body", "orelse"):
            return either.values[control.branch == "orelse"]
    return None


def _joined(frame: Frame, either: Either, results: list[Any]) -> Any:
    """What they all return; sizes that differ as the condition between them tells."""
    different = "what either of two modules or functions returns"
    return one_of_results(results, lambda a, b: either_size(frame, either.branch, a, b), different)
