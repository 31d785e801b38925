"""Stores: what a new value changes in a variable, an attribute, a Linen variable or a container."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, NumberArray, Shape, Unknown, Unmodelled
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.expressions.comparisons import same_shapes
from nnx_migrate.linen.interpreter.frame import Frame, Slot
from nnx_migrate.linen.interpreter.lists.aliases import forget_other_names
from nnx_migrate.linen.interpreter.lists.names import can_be_followed
from nnx_migrate.linen.interpreter.records import stored
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.sites import Write
from nnx_migrate.linen.values import Expr, Input, Instance, ModuleList, SelfValue, VariableValue


def store(frame: Frame, target: ast.expr, value: Any, static: bool) -> None:
    """Give a name, attribute or item its new value."""
    if isinstance(target, ast.Name):
        if isinstance(value, Instance) and not value.site.stored and not frame.foreign:
            value.site.stored = target.id
        if isinstance(value, ArrayList) and not can_be_followed(frame, target):
            value = Unknown("a list that a loop has filled, under another name")
        frame.bind(target.id, value, static)
    elif isinstance(target, ast.Attribute):
        base = evaluate(frame, target.value)
        if isinstance(base, SelfValue) and base.home.is_of(frame.session):
            _store_attribute(frame, target, value, static)
        elif isinstance(base, VariableValue) and target.attr == "value":
            _write_variable(frame, target, base, value)
    elif isinstance(target, ast.Subscript):
        _store_item(frame, target, value, static)


def _store_attribute(frame: Frame, target: ast.Attribute, value: Any, static: bool) -> None:
    if isinstance(value, Instance) and not frame.foreign:
        value.site.stored = value.site.stored or target.attr
    if isinstance(value, Unknown) and static and not frame.foreign:
        value = Expr(f"self.{target.attr}")
    frame.session.attributes[target.attr] = Slot(value, static)


def _write_variable(frame: Frame, target: ast.Attribute, variable: VariableValue, value: Any) -> None:
    """`var.value = x`: variables keep their shapes from call to call."""
    if not frame.foreign and variable.site is not None:
        session = frame.session
        write = Write(variable.site, target, frame.context, frame.controls, session.after_init)
        session.facts.writes = [
            w for w in session.facts.writes if (w.target, w.context) != (target, frame.context)
        ]
        session.facts.writes.append(write)
    known = variable.value
    if (
        isinstance(known, Array)
        and isinstance(value, Array)
        and same_shapes(known.shape, value.shape) is not False
    ):
        return
    changed = VariableValue(variable.site, Unknown("a variable that gets another shape"))
    if isinstance(target.value, ast.Name):
        frame.bind(target.value.id, changed)
    elif isinstance(target.value, ast.Attribute):
        frame.session.attributes[target.value.attr] = Slot(changed)


def _store_item(frame: Frame, target: ast.Subscript, value: Any, static: bool) -> None:
    container = evaluate(frame, target.value)
    key = evaluate(frame, target.slice) if not isinstance(target.slice, ast.Slice) else Unknown("a slice")
    if isinstance(key, Dim) and key.const is not None:
        key = key.const
    in_loop = loop_depth_since(frame, target)
    forget_other_names(frame, container, target.value)
    if isinstance(container, dict) and isinstance(key, str | int):
        new: Any = {**container, key: value}
    elif isinstance(container, dict) and not container and in_loop and is_module(value):
        new = ModuleList(value, keyed=True)
    elif isinstance(container, list) and isinstance(key, int) and -len(container) <= key < len(container):
        new = list(container)
        new[key] = value
    elif isinstance(container, Shape) and isinstance(key, int):
        new = _shape_with(container, key, value)
    elif isinstance(container, NumberArray):
        new = Array(container.shape, container.dtype)
    elif isinstance(container, Input | Array | VariableValue | ModuleList | Instance):
        return
    else:
        table = stored(container, key, value)
        new = table if table is not None else Unknown("a container changed at an unknown place")
    slot = frame.lookup(target.value.id) if isinstance(target.value, ast.Name) else None
    store(frame, target.value, new, static and slot is not None and slot.static)


def _shape_with(shape: Shape, index: int, value: Any) -> Any:
    """`sizes[index] = value`, where `sizes` is `list(x.shape)`."""
    size = as_dim(value)
    try:
        return shape.replaced(
            index, size if size is not None else Dim.unknown("a size that can't be followed")
        )
    except Unmodelled as unmodelled:
        return Unknown(str(unmodelled))


def is_module(value: Any) -> bool:
    """Whether a value is a submodule, or a container of nothing else."""
    if isinstance(value, tuple | list):
        return bool(value) and all(is_module(item) for item in value)
    return isinstance(value, Instance | ModuleList | MixedList)


def loop_depth_since(frame: Frame, target: ast.expr) -> bool:
    """Whether the statement runs in a loop."""
    return any(control.is_loop for control in frame.controls)
