"""Functions that choose one of several classes of the project for their callers: `block_of(self.kind)(8)`.

    def block_of(kind):
        if kind == "basic":
            return Basic
        if kind == "gated":
            return Gated

For any other kind that gives None, which can't be called: where all that a caller does with the result is to call it,
it is one of the classes.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.interpreter.expressions.static_text import static_text
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.submodules.class_choices import in_place
from nnx_migrate.linen.values import ClassChoice, ClassRef, Layer, Partial
from nnx_migrate.names.nodes import all_below


def chosen_by_call(frame: Frame, call: ast.Call, result: Any) -> Any:
    """What a call of a function gives that may be one of several classes: the constructor makes the same call."""
    return in_place(result, static_text(frame, call)) if isinstance(result, ClassChoice) else result


def is_only_called(frame: Frame, call: ast.Call) -> bool:
    """Whether what a call gives is called, and nothing else is done with it."""
    outer = frame.module.parents.get(call)
    if isinstance(outer, ast.Call):
        return outer.func is call
    function = frame.module.enclosing(call, ast.FunctionDef)
    is_assigned = isinstance(outer, ast.Assign) and len(outer.targets) == 1
    target = outer.targets[0] if isinstance(outer, ast.Assign) and is_assigned else None
    if function is None or not isinstance(target, ast.Name):
        return False
    uses = [
        n for n in all_below(function) if isinstance(n, ast.Name) and n.id == target.id and n is not target
    ]
    return bool(uses) and all(_is_callee(frame, use) for use in uses)


def _is_callee(frame: Frame, use: ast.Name) -> bool:
    outer = frame.module.parents.get(use)
    return isinstance(use.ctx, ast.Load) and isinstance(outer, ast.Call) and outer.func is use


def are_classes(frame: Frame) -> bool:
    """Whether a function has returned nothing but classes, each for a configuration that the constructor knows."""
    known = frame.session.conditions
    return bool(frame.returns) and all(
        _is_class(value) and (frame.context, statement) in known for value, statement in frame.returns
    )


def _is_class(value: Any) -> bool:
    if isinstance(value, Partial):
        return _is_class(value.func)
    return isinstance(value, ClassRef | ClassChoice) or (isinstance(value, Layer) and value.is_class)
