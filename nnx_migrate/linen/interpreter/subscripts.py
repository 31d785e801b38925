"""What subscripts stand for: items of containers, axes of shapes, parts of arrays."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone, present
from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown, Unmodelled
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, item_of, sliced
from nnx_migrate.linen.chosen.classes import table
from nnx_migrate.linen.chosen.layers import LayerChoice
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.effects.initial_dtypes import is_initial
from nnx_migrate.linen.interpreter.attributes import atomic, seen
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value, input_array, text_of
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown, static_text
from nnx_migrate.linen.interpreter.frame import Frame, NeedKinds
from nnx_migrate.linen.interpreter.function_choices import may_make_modules, one_of_table
from nnx_migrate.linen.interpreter.listed_indices import with_listed_indices
from nnx_migrate.linen.interpreter.ranks.declared_inputs import is_declared_array
from nnx_migrate.linen.interpreter.ranks.hints import hinted_by_index
from nnx_migrate.linen.interpreter.ranks.patterns import learn_from_pairs
from nnx_migrate.linen.interpreter.records import asked_by_items, is_table, part
from nnx_migrate.linen.interpreter.state import caches
from nnx_migrate.linen.interpreter.submodules.class_choices import in_place, one_of_classes
from nnx_migrate.linen.mixed_lists import MixedList, module_at, without_ends
from nnx_migrate.linen.values import (
    Bound,
    Expr,
    FunctionChoice,
    Input,
    Instance,
    LostModule,
    Maybe,
    ModuleList,
    OwnVariables,
    Record,
    VariableValue,
)

# Names of arrays of numbers that count rows: `token_ids`, `self.idx`, `relative_position_index`.
_NUMBERS = re.compile(r"(?:^|_|\.)(?:ids?|idxs?|ind|inds|index|indexes|indices)$")
_COUNTING = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
#: Tables of libraries that hold nothing but activations.
_ACTIVATIONS = frozenset({"transformers.modeling_flax_utils.ACT2FN"})


def item(frame: Frame, value: Any, index: Any, node: ast.Subscript | None = None) -> Any:
    """`value[index]`."""
    if isinstance(value, OwnVariables):
        return caches.own_variables(frame, value, index, node)
    number = as_dim(index)
    constant = number.const if number is not None else None
    if isinstance(value, VariableValue | Maybe):
        value = value.value
    if isinstance(value, ArrayOrNone) and "tuple" in value.instead:
        return Unknown(value.reason)
    value = present(value)
    if isinstance(value, TupleChoice | Record) and constant is not None:
        return item_of(value, constant)
    if isinstance(value, TupleChoice | Record) and isinstance(index, slice):
        return sliced(value, index)
    if isinstance(value, Record) and isinstance(index, str) and is_table(value):
        return part(frame, value, index)
    if isinstance(value, Shape):
        return _shape_item(frame, value, index, constant)
    if isinstance(value, tuple | list):
        if constant is not None:
            return (
                value[constant] if -len(value) <= constant < len(value) else Unknown("an index out of range")
            )
        if isinstance(index, slice):
            return _slice(value, index)
        return _any_of(frame, value, node)
    if isinstance(value, dict):
        if isinstance(index, str | int):
            return value.get(index, Unknown(f"no key {index!r}"))
        functions = one_of_table(frame, value.values())
        if functions is not None:
            return functions
        chosen = one_of_classes(tuple(value.values()))
        if chosen is not None and node is not None and _stays(frame, node.value, chosen):
            return in_place(chosen, static_text(frame, node))
        return one_of(frame, value.values())
    if isinstance(value, Input):
        if isinstance(index, str):
            return seen(frame, Input((*value.path, index)))
        if constant is not None and node is not None and _seems_tuple(frame, value, node):
            frame.session.input_tuples.add(value.path)
        if constant is not None and value.path in frame.session.input_tuples:
            return seen(frame, Input((*value.path, constant)))
        if isinstance(index, Expr) and not index.kind and not is_declared_array(frame.session, value):
            key = index.text if node is None else ast.unparse(node.slice)
            return Unknown(f"`{key}` may be a key of `{value.text}`, whose items have sizes of their own")
        if constant is not None:
            frame.session.items_taken.add(value.path)
        value = input_array(frame.session, value)
    if isinstance(value, Array):
        transfer = registry.effect("getitem") or registry.method("__getitem__")
        if transfer is None:
            return Unknown("indexing")
        place = _counted(effect_value(frame.session, with_listed_indices(frame, index)), node)
        if frame.session.root.input_kinds is None and _may_be_boolean(place):
            raise NeedKinds
        place = _of_numbers(place, node)
        learn_from_pairs(frame, place)
        hinted_by_index(frame, value, place)
        return transfer(value, place)
    if isinstance(value, Expr):
        return _expression_item(frame, value, index)
    if isinstance(value, Global) and value.name in _ACTIVATIONS:
        return FunctionChoice((Global("jax.nn.gelu"), Global("jax.nn.relu")))  # and others of that kind
    if isinstance(value, Global) and (grid := registry.effect(f"{value.name}.__getitem__")) is not None:
        return grid(effect_value(frame.session, index))
    if isinstance(value, ModuleList):
        return value.element
    if isinstance(value, MixedList):
        return _mixed_item(value, index, constant)
    if isinstance(value, Bound) and value.name == "at":
        return Bound(value.value, "at[]")
    if isinstance(value, Unknown):
        return value
    return Unknown("a subscript that can't be followed")


def _seems_tuple(frame: Frame, value: Input, node: ast.Subscript) -> bool:
    """Whether an argument of which nothing is known may as well be a tuple of arrays as one array."""
    if value.path in frame.session.input_ranks or is_declared_array(frame.session, value):
        return False
    function = frame.module.enclosing(node, ast.FunctionDef)
    return (
        isinstance(node.value, ast.Name) and function is not None and asked_by_items(function, node.value.id)
    )


def one_of(frame: Frame, values: Collection[Any]) -> Unknown:
    """What a key that isn't known gives of a table: its calls may make modules."""
    from nnx_migrate.linen.interpreter.submodules.modules import constructs

    if any(may_make_modules(frame, value) for value in values):
        return LostModule("which function a table gives isn't known; it may make modules")
    if any(constructs(value) or isinstance(value, Instance) for value in values):
        return LostModule("which module, or class of modules, a table gives isn't known")
    return Unknown("a key that isn't known")


def _stays(frame: Frame, node: ast.expr, chosen: Any) -> bool:
    """Whether a dict has no other entries when the module is made than those that are written out.

    One of layers has to stand in the class, which gets NNX's, in a function that chooses for it, or in a table where
    the class itself looks it up: that is rewritten, too.
    """
    is_layer = isinstance(chosen, LayerChoice)
    if is_layer and isinstance(node, ast.Dict):
        return True
    if isinstance(node, ast.Name) and frame.lookup(node.id) is not None:
        return not is_layer or (frame.outside and node.id in frame.env)
    if is_layer and frame.outside:
        return False
    return bool(table(frame.session.program.project, frame.module, node)[1])


def _may_be_boolean(index: Any) -> bool:
    """Whether an index holds an array of unknown kind."""
    items = index if isinstance(index, tuple) else (index,)
    return any(isinstance(one, Array) and (one.dtype is None or is_initial(one.dtype)) for one in items)


def _of_numbers(index: Any, node: ast.Subscript | None) -> Any:
    """An index whose arrays are called `ids` or `indices`: these hold numbers.

    With truth values instead, the result would have fewer axes than the layers behind it are made for: they fail.
    """
    return _integers(index, node, lambda place: _NUMBERS.search(ast.unparse(place)) is not None)


def _counted(index: Any, node: ast.Subscript | None) -> Any:
    """An index whose arrays come from `lengths - 1`: a number makes numbers of truth values, too."""
    return _integers(index, node, _has_a_number)


def _has_a_number(node: ast.expr) -> bool:
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) and isinstance(node.op, _COUNTING) else ()
    return any(isinstance(side, ast.Constant) and type(side.value) is int for side in sides)


def _integers(index: Any, node: ast.Subscript | None, are_integers: Callable[[ast.expr], bool]) -> Any:
    nodes = getattr(node.slice, "elts", [node.slice]) if node is not None else []
    items = index if isinstance(index, tuple) else (index,)
    if len(nodes) != len(items):
        return index
    found = tuple(
        replace(item, dtype="int") if _may_be_boolean(item) and are_integers(place) else item
        for item, place in zip(items, nodes, strict=True)
    )
    return found if isinstance(index, tuple) else found[0]


def _shape_item(frame: Frame, shape: Shape, index: Any, constant: int | None) -> Any:
    try:
        if isinstance(index, slice):
            start, stop = index.start, index.stop
            if all(bound is None or isinstance(bound, int) for bound in (start, stop)) and index.step is None:
                return shape.sliced(start, stop)
            return Unknown("a slice of a shape")
        if constant is None:
            return Dim.unknown("an axis that isn't known")
        return shape.dim(constant)
    except Unmodelled as unmodelled:
        return Unknown(str(unmodelled))


def _mixed_item(value: MixedList, index: Any, constant: int | None) -> Any:
    """An item, or a slice, of a list of modules of which loops have made some."""
    found: Any = None
    if constant is not None:
        found = module_at(value, constant)
    elif isinstance(index, slice) and index.step is None:
        bounds = (index.start, index.stop)
        if all(bound is None or isinstance(bound, int) for bound in bounds):
            found = without_ends(value, *bounds)
    return found if found is not None else LostModule("an item at an unknown place of a list of modules")


def _slice(value: tuple[Any, ...] | list[Any], index: slice) -> Any:
    bounds = (index.start, index.stop, index.step)
    if all(bound is None or isinstance(bound, int) for bound in bounds):
        return value[index]
    return Unknown("a slice with unknown bounds")


def _any_of(frame: Frame, value: tuple[Any, ...] | list[Any], node: ast.Subscript | None) -> Any:
    """An item at an unknown position: certain where all items are equal."""
    if value and all(item == value[0] for item in value):
        return value[0]
    if node is not None:
        return static_or_unknown(frame, node)
    return Unknown("an item at an unknown position")


def _expression_item(frame: Frame, value: Expr, index: Any) -> Any:
    if isinstance(index, slice):
        parts = [None if b is None else text_of(b) for b in (index.start, index.stop, index.step)]
        if any(
            b is not None and t is None
            for b, t in zip((index.start, index.stop, index.step), parts, strict=True)
        ):
            return Unknown("a slice with unknown bounds")
        text = f"{parts[0] or ''}:{parts[1] or ''}" + (f":{parts[2]}" if parts[2] else "")
        return Expr(f"{atomic(value.text)}[{text}]", "sequence")
    text_index = text_of(index)
    if text_index is None:
        return Unknown("an index that isn't known")
    return Expr(f"{atomic(value.text)}[{text_index}]")
