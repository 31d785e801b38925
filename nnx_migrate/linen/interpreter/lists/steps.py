"""What code does to a list of arrays: it binds, fills, empties and reads it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.branches.control import size_name
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists import totals
from nnx_migrate.linen.interpreter.lists.aliases import forget_other_names
from nnx_migrate.linen.interpreter.lists.names import (
    COMPREHENSIONS,
    CONDITIONAL,
    can_be_followed,
    popped_index,
)
from nnx_migrate.linen.interpreter.lists.shared import array_list, as_array_list, merged, uncounted
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.sites import ListStep
from nnx_migrate.linen.symbols import token


def bound(frame: Frame, statement: ast.Assign | ast.AnnAssign, value: Any) -> None:
    """`hs = [x]`, `rest = hs[::-1]`."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    if isinstance(target, ast.Name) and can_be_followed(frame, target):
        items = tuple(value) if isinstance(value, list) else None
        _record(frame, statement, ListStep("set", target.id, items))


def appended(frame: Frame, call: ast.Call, old: Any, item: Any, in_loop: bool) -> Any:
    """The list after `hs.append(item)`, None where this isn't a list of arrays that can be followed."""
    assert isinstance(call.func, ast.Attribute)
    name = call.func.value
    if not (isinstance(name, ast.Name) and can_be_followed(frame, name)):
        return None
    _record(frame, call, ListStep("append", name.id, (item,)))
    if isinstance(old, list) and not in_loop:
        return None
    before, new = as_array_list(frame, old), array_list(frame, [item])
    both = merged(before, new) if before is not None and new is not None else None
    if both is None or before is None or in_loop:
        return both
    return totals.with_one_more(frame, before, both, item)


def popped(frame: Frame, call: ast.Call) -> Any:
    """The element that `hs.pop()` takes away, NotImplemented for what is no call of this kind on a list."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and function.attr == "pop"):
        return NotImplemented
    name = function.value
    slot = frame.env.get(name.id) if isinstance(name, ast.Name) else None
    if slot is None or not isinstance(name, ast.Name) or not isinstance(slot.value, list | ArrayList):
        return NotImplemented
    value, index = slot.value, popped_index(call)
    forget_other_names(frame, value, name)
    in_loop = any(control.is_loop for control in frame.controls)
    if not can_be_followed(frame, name):
        frame.bind(name.id, Unknown("a list changed in place"))
        return Unknown("an element taken from a list")
    if isinstance(value, list) and not in_loop and -len(value) <= index < len(value):
        _record(frame, call, ListStep("pop", name.id, index=str(index) if call.args else ""))
        frame.bind(name.id, [item for i, item in enumerate(value) if i != index % len(value)])
        return value[index]
    found = as_array_list(frame, value)
    if found is None:
        frame.bind(name.id, Unknown("a list changed in place"))
        return Unknown("an element taken from a list")
    found = uncounted(found)
    frame.bind(name.id, found)
    label = _label(frame, call, name.id)
    element, numbers = _element(frame, found, call, label)
    _record(
        frame,
        call,
        ListStep("pop", name.id, index=str(index) if call.args else "", label=label, reads=numbers),
    )
    return element


def taken(frame: Frame, node: ast.Subscript, value: Any, index: Any) -> Any:
    """`hs[i]` or `hs[::-1]`; NotImplemented where each element is known or nothing is."""
    name = node.value
    known = isinstance(index, int | slice) or getattr(index, "const", None) is not None
    if isinstance(value, list) and (known or not value):
        return NotImplemented
    if not isinstance(name, ast.Name) or not can_be_followed(frame, name):
        return Unknown("a part of a list") if isinstance(value, ArrayList) else NotImplemented
    found = as_array_list(frame, value)
    if found is None:
        return NotImplemented
    if isinstance(node.slice, ast.Slice):
        return uncounted(found)
    if isinstance(node.slice, ast.Tuple):
        return Unknown("a part of a list")
    repeated = _stands_in(frame, node, (*CONDITIONAL, *COMPREHENSIONS))
    if repeated or not is_static(frame, node.slice):
        return _element(frame, found, None, "")[0]
    label = _label(frame, node, name.id)
    element, numbers = _element(frame, found, node, label)
    _record(frame, node, ListStep("item", name.id, label=label, reads=numbers))
    return element


def iterated(frame: Frame, value: ArrayList, target: ast.expr | None, loop: ast.AST) -> Any:
    """The element of one round of a loop over the list."""
    if not isinstance(target, ast.Name) or not isinstance(loop, ast.For):
        return _element(frame, value, None, "")[0]
    element, numbers = _element(frame, value, target, target.id)
    if not frame.foreign:
        frame.session.facts.list_items.setdefault((frame.context, loop), {})[target.id] = numbers
    return element


def differing_arrays(frame: Frame, items: Sequence[Any]) -> ArrayList | None:
    """Arrays that a loop takes in turn, where their sizes differ."""
    found = array_list(frame, items) if len(items) > 1 else None
    return found if found is not None and found.varying else None


def without_lists(value: Any) -> Any:
    """A function's result: its caller doesn't know what happens to the lists in it."""
    if isinstance(value, ArrayList):
        return Unknown("a list that a loop has filled")
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(without_lists(item) for item in value)
    if isinstance(value, dict):
        return {key: without_lists(item) for key, item in value.items()}
    return value


def _element(
    frame: Frame, found: ArrayList, node: ast.AST | None, label: str
) -> tuple[Any, Mapping[int, int]]:
    """An element, and the numbers of the symbols for its sizes; without `node` differing sizes are unknown."""
    if found.element is None:
        return Unknown("an element of an empty list"), {}
    shape = found.element.shape
    axes = range(-len(shape.dims), 0)
    if node is None or frame.foreign:
        return found.element, {}
    numbers = {axis: frame.session.number_of(("element", id(node), frame.context, axis)) for axis in axes}
    dims = tuple(
        Dim.size(token(size_name(label, axis), "p", numbers[axis]))
        if axis in found.varying
        else shape.dims[axis]
        for axis in axes
    )
    return Array(Shape(dims, shape.lead), found.element.dtype), numbers


def _label(frame: Frame, node: ast.expr, name: str) -> str:
    """What the element is called: as the variable that it is assigned to."""
    parent = frame.module.parents.get(node)
    if (
        isinstance(parent, ast.Assign)
        and len(parent.targets) == 1
        and isinstance(parent.targets[0], ast.Name)
    ):
        return parent.targets[0].id
    return f"{name}_element"


def _record(frame: Frame, node: ast.AST, step: ListStep) -> None:
    if frame.foreign:
        return
    facts = frame.session.facts
    if set(frame.context) & set(frame.session.round_markers.values()):
        facts.unrolled_lists.add(step.name)
    facts.list_steps[frame.context, node] = step


def _stands_in(frame: Frame, node: ast.AST, kinds: tuple[type[ast.AST], ...]) -> bool:
    """Whether an expression is evaluated under one of these expressions of its statement."""
    current = frame.module.parents.get(node)
    while current is not None and not isinstance(current, ast.stmt):
        if isinstance(current, kinds):
            return True
        current = frame.module.parents.get(current)
    return False
