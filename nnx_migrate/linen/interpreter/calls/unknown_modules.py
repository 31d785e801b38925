"""Calls of what code that isn't known has made: it may be a module, which Linen registers where it is made.

Left in place, the NNX class would hold a Linen module, or make a new one, with new parameters, at every call.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Global, Unknown
from nnx_migrate.linen.interpreter.calls.apply import MADE_BY
from nnx_migrate.linen.interpreter.calls.origins import Origins
from nnx_migrate.linen.interpreter.calls.packages import comes_from_libraries, is_free_of_flax
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Expr
from nnx_migrate.names.nodes import is_of_self, is_self

# Kinds of expressions that are functions without modules.
_PLAIN_FUNCTIONS = frozenset({"function", "elementwise", "initializer"})


def refuse_unknown_module(frame: Frame, node: ast.Call, target: Any) -> None:
    """Refuse to call what an unknown factory or class made."""
    if frame.foreign:
        return
    by_text = (
        isinstance(target, Expr)
        and target.kind not in _PLAIN_FUNCTIONS
        and target.text.endswith(")")
        and "initializers." not in target.text
    )
    is_method = isinstance(node.func, ast.Attribute) and not is_self(node.func.value)
    by_field = isinstance(target, Unknown) and target.reason.startswith(MADE_BY) and not is_method
    inner = (
        frame.session.facts.values.get((frame.context, node.func.func))
        if isinstance(node.func, ast.Call)
        else None
    )
    by_class = (
        isinstance(inner, Global)
        and inner.name.rpartition(".")[2][:1].isupper()
        and not _is_of_library(frame, inner.name)
    )
    if isinstance(node.func, ast.Call) and _is_of_libraries(frame, node.func.func):
        return
    by_origin = not is_method and _is_unknown(target) and any(Origins(frame).makers(node.func))
    by_array = isinstance(target, Array)  # `getattr(nn, name)(x)`, which is no function of arrays then
    if by_text or by_field or by_class or by_origin or by_array:
        _refuse(node, node.func)


def refuse_unknown_receiver(
    frame: Frame, node: ast.Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Refuse to hand an array to a method of what an unknown factory or class made: `self.quantizer.encode(x)`.

    What is made from arrays, like a distribution, is no module.
    """
    if frame.foreign or not isinstance(node.func, ast.Attribute):
        return
    receiver = node.func.value
    if not _is_unknown(frame.session.facts.values.get((frame.context, receiver))):
        return
    values = (effect_value(frame.session, value) for value in (*args, *kwargs.values()))
    if not any(isinstance(value, Array) for value in values):
        return
    holder = receiver
    while isinstance(holder, ast.Attribute) and not is_of_self(holder):
        holder = holder.value  # `self.encoder.head.encode(x)`
    if any(True for _ in Origins(frame, of_arrays=False).makers(holder)):
        _refuse(node, receiver)


def refuse_unknown_layers(frame: Frame, node: ast.Call) -> None:
    """Refuse a sequence of what an unknown factory or class made: `nn.Sequential([TABLE[kind](3)])`."""
    given = [] if frame.foreign else [*node.args, *(keyword.value for keyword in node.keywords)]
    for argument in given:
        for made in Origins(frame, of_arrays=False).makers(argument):
            value = frame.session.facts.values.get((frame.context, made))
            if type(value) is Unknown or (isinstance(value, Expr) and value.kind not in _PLAIN_FUNCTIONS):
                _refuse(node, made)


def _refuse(node: ast.Call, what: ast.expr) -> None:
    raise Refuse(
        "unknown-module", f"what `{ast.unparse(what)[:80]}` is isn't known; it may be a module", node
    )


def _is_unknown(value: Any) -> bool:
    return isinstance(value, Unknown) or (isinstance(value, Expr) and value.kind not in _PLAIN_FUNCTIONS)


def _is_of_library(frame: Frame, qualified: str) -> bool:
    """Whether a class comes from a package that can't define Linen modules."""
    return is_free_of_flax(qualified) and frame.session.program.project.definition(qualified) is None


def _is_of_libraries(frame: Frame, node: ast.expr) -> bool:
    """Whether a dotted name of the module comes from such packages."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    is_global = isinstance(root, ast.Name) and frame.lookup(root.id) is None
    return is_global and isinstance(node, ast.Attribute) and comes_from_libraries(frame.module, node)
