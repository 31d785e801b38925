"""Elements of iterables: one by one where they are known, else what stands for each of them."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.branches.control import join
from nnx_migrate.linen.interpreter.convert import as_dim, input_array, known_range
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.steps import differing_arrays, iterated
from nnx_migrate.linen.interpreter.loops.variables import loop_variable
from nnx_migrate.linen.sites import LoopVariable
from nnx_migrate.linen.values import Expr, Input, Instance, Iterated, Maybe, ModuleList, VariableValue

MAX_UNROLL = 64


class OneOf(tuple):  # type: ignore[type-arg]
    """One of several submodules, in the order in which a loop takes them."""


class ManyOf:
    """A list of `count` arrays: `element` is any of them, within the loop, `shared` what is known behind it."""

    def __init__(self, element: Array, shared: Array, count: Dim) -> None:
        self.element, self.shared, self.count = element, shared, count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ManyOf) and self.element == other.element

    def __hash__(self) -> int:
        return hash(("ManyOf", self.element))


def known_items(iterable: Any) -> list[Any] | None:
    """The elements of an iterable, None where they aren't known one by one."""
    if isinstance(iterable, OneOf | tuple | list):
        return list(iterable)
    if isinstance(iterable, dict):
        return list(iterable)
    if isinstance(iterable, Shape) and iterable.exact:
        return list(iterable.items())
    if not isinstance(iterable, Iterated):
        return None
    if iterable.kind == "range":
        counts = known_range(iterable)
        return None if counts is None else list(counts)
    if iterable.kind in ("items", "keys", "values") and isinstance(iterable.args[0], dict):
        return list(getattr(iterable.args[0], iterable.kind)())
    columns = [known_items(arg) for arg in iterable.args]
    if iterable.kind == "zip":
        known = [column for column in columns if column is not None]
        return list(zip(*known, strict=False)) if len(known) == len(columns) else None
    if not columns or columns[0] is None:
        return None
    if iterable.kind == "enumerate":
        start = as_dim(iterable.args[1]) if len(iterable.args) > 1 else Dim.of(0)
        return (
            list(enumerate(columns[0], start.const))
            if start is not None and start.const is not None
            else None
        )
    return list(reversed(columns[0])) if iterable.kind == "reversed" else columns[0]


def surely_runs(iterable: Any) -> bool:
    """Whether an iterable is known to have an element."""
    if isinstance(iterable, tuple | list):
        return bool(iterable)
    if isinstance(iterable, Iterated) and iterable.kind == "enumerate":
        return surely_runs(iterable.args[0])
    return False


def element(frame: Frame, iterable: Any, target: ast.expr | None, static: bool, node: ast.AST) -> Any:
    """What stands for every element of an iterable; loop variables of static iterables become symbols."""
    if isinstance(iterable, Maybe):
        iterable = iterable.value
    if isinstance(iterable, Iterated):
        return _iterated(frame, iterable, target, static, node)
    if isinstance(iterable, ModuleList | ManyOf):
        return iterable.element
    if isinstance(iterable, ArrayList):
        return iterated(frame, iterable, target, node)
    if isinstance(iterable, VariableValue):
        iterable = iterable.value
    if isinstance(iterable, Input):
        if static:
            return Unknown("an element of an argument")
        array = input_array(frame.session, iterable)
        return Array(Shape(array.shape.dims, ""), None)
    if isinstance(iterable, Array):
        if iterable.shape.rank:
            return iterable.with_shape(Shape(iterable.shape.dims[1:]))
        return Unknown("a row of an array of unknown rank")
    if isinstance(iterable, tuple | list):
        return _known_elements(frame, list(iterable), target, static, node)
    if isinstance(iterable, dict):
        return _known_elements(frame, list(iterable), target, static, node)
    if static or isinstance(iterable, Expr):
        return loop_symbol(frame, target, node)
    return Unknown(iterable.reason if isinstance(iterable, Unknown) else "an iterable that can't be followed")


def _known_elements(
    frame: Frame, items: list[Any], target: ast.expr | None, static: bool, node: ast.AST
) -> Any:
    if items and all(item == items[0] for item in items):
        return items[0]
    if items and all(isinstance(item, Instance) for item in items):
        return OneOf(tuple(items))
    if isinstance(target, ast.Tuple | ast.List) and items:
        width = len(target.elts)
        if all(isinstance(item, tuple | list) and len(item) == width for item in items):
            columns = [[item[i] for item in items] for i in range(width)]
            return tuple(
                _known_elements(frame, column, target.elts[i], static, node)
                for i, column in enumerate(columns)
            )
    if static:
        numbers = all(as_dim(item) is not None for item in items)
        return loop_symbol(frame, target, node, "int" if numbers else "")
    arrays = [input_array(frame.session, item) if isinstance(item, Input) else item for item in items]
    if arrays and all(isinstance(item, Array) for item in arrays):
        differing = differing_arrays(frame, arrays)
        if differing is not None:
            return iterated(frame, differing, target, node)
        result = arrays[0]
        for other in arrays[1:]:
            result = join(frame, result, other, node, "item")
        return result
    return Unknown("elements of different kinds")


def _iterated(frame: Frame, iterable: Iterated, target: ast.expr | None, static: bool, node: ast.AST) -> Any:
    kind, args = iterable.kind, iterable.args
    parts = list(target.elts) if isinstance(target, ast.Tuple | ast.List) else []
    if kind == "range":
        return loop_symbol(frame, target, node, "int") if static else Dim.unknown("a loop counter")
    if kind == "enumerate":
        counter = parts[0] if len(parts) == 2 else None
        rest = parts[1] if len(parts) == 2 else None
        index = (
            loop_symbol(frame, counter, node, "int") if counter is not None else Dim.unknown("a loop counter")
        )
        return (index, element(frame, args[0], rest, static, node))
    if kind == "zip":
        return tuple(
            element(frame, arg, parts[i] if i < len(parts) else None, static, node)
            for i, arg in enumerate(args)
        )
    if kind in ("reversed", "list", "tuple", "sorted"):
        return element(frame, args[0], target, static, node)
    if kind == "items":
        value = args[0]
        if isinstance(value, dict):
            key = _known_elements(frame, list(value), parts[0] if parts else None, static, node)
            return (
                key,
                _known_elements(frame, list(value.values()), parts[1] if parts else None, static, node),
            )
        if isinstance(value, ModuleList):
            return (Unknown("a key"), value.element)
        return loop_symbol(frame, target, node) if static else Unknown("items of an unknown dict")
    if kind in ("keys", "values"):
        value = args[0]
        if isinstance(value, dict):
            chosen = list(value) if kind == "keys" else list(value.values())
            return _known_elements(frame, chosen, target, static, node)
        if isinstance(value, ModuleList) and kind == "values":
            return value.element
    return loop_symbol(frame, target, node) if static else Unknown("an iterable that can't be followed")


def loop_symbol(frame: Frame, target: ast.expr | None, node: ast.AST, kind: str = "") -> Any:
    """A symbol for a loop variable."""
    if isinstance(target, ast.Tuple | ast.List):
        return tuple(loop_symbol(frame, part, node) for part in target.elts)
    if not isinstance(target, ast.Name):
        return Unknown("a loop variable that can't be followed")
    if frame.foreign and not isinstance(node, ast.For | ast.ListComp):
        return Unknown(f"`{target.id}` is a loop variable of another module")
    symbol = loop_variable(frame, node, target.id)
    number = frame.session.number_of(("variable", id(node), frame.context, target.id))
    frame.session.facts.loop_variables[number] = LoopVariable(number, target.id, node)
    return Expr(symbol, kind)
