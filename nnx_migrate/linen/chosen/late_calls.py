"""Calls of functions outside of classes that choose a layer, and get its mode, which only calls of the class know.

    def norm_of(kind, train):
        if kind == "batch":
            return partial(nn.BatchNorm, use_running_average=not train)
        return nn.LayerNorm

The constructor calls such a function without `train`; the calls of the layer give that.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.chosen.layers import LayerChoice, mode_of
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.sites import Facts
from nnx_migrate.linen.values import Closure, Partial


def remember_late_call(frame: Frame, closure: Closure, call: ast.Call, result: Any) -> None:
    """Remember which arguments of a call of a method only tell the mode of the layer that it chooses."""
    function, facts = closure.node, frame.session.facts
    outside = closure.env is None and closure.self_value is None and isinstance(function, ast.FunctionDef)
    if not outside or frame.context or frame.foreign or not isinstance(result, LayerChoice):
        return
    facts.late_calls.pop(call, None)
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    spec = function.args
    plain = not (spec.vararg or spec.kwarg) and all(k.arg is not None for k in call.keywords)
    late = {
        name
        for (context, name), (_, node) in facts.arguments.items()
        if context == (call,) and node in given and not is_static(frame, node)
    }
    all_known = sum(not is_static(frame, node) for node in given) == len(late)
    partials = [maker for maker in result.makers if isinstance(maker, Partial)]
    modes = {maker.call: mode.value for maker in partials if (mode := mode_of(maker)) is not None}
    read = {maker: {n.id for n in ast.walk(mode) if isinstance(n, ast.Name)} for maker, mode in modes.items()}
    inside = {n for mode in modes.values() for n in ast.walk(mode)}
    elsewhere = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and n not in inside}
    known = all(names <= late for names in read.values() if names & late)
    if late and plain and all_known and known and not late & elsewhere:
        facts.late_calls[call] = frozenset(late)
        facts.late_modes |= {maker for maker, names in read.items() if names & late}


def calls_choosing(facts: Facts, maker: ast.AST) -> list[ast.AST]:
    """The calls of a class whose function may return a partial, and that give it its mode."""
    return [
        call
        for call in facts.late_calls
        if any(getattr(one, "call", None) is maker for one in facts.values[(), call].makers)
    ]


def mode_arguments(facts: Facts, maker: ast.AST) -> list[dict[str, ast.expr]]:
    """What each of these calls gives the function's parameters."""
    return [
        {name: facts.arguments[(call,), name][1] for name in facts.late_calls[call]}
        for call in calls_choosing(facts, maker)
    ]
