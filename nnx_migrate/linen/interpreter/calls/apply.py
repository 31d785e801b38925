"""Calling a value: a submodule, a function, a method, or what only a field holds."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Global, Unknown
from nnx_migrate.linen.chosen.functions import ChosenFunction
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.fields.activations import is_activation_name
from nnx_migrate.linen.interpreter.branches.joined_results import one_of_results
from nnx_migrate.linen.interpreter.calls.arguments import escapes
from nnx_migrate.linen.interpreter.calls.choices import call_chosen, call_either
from nnx_migrate.linen.interpreter.calls.graphs import call_graph_function
from nnx_migrate.linen.interpreter.calls.libraries import call_global
from nnx_migrate.linen.interpreter.calls.methods import call_bound
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import call_closure
from nnx_migrate.linen.interpreter.sizes.number_functions import number_of_call
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules import modules
from nnx_migrate.linen.interpreter.transforms.mapped import call_mapped
from nnx_migrate.linen.interpreter.transforms.scanned import Scanned, call_scanned
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import (
    Bound,
    Closure,
    Either,
    Expr,
    FieldModule,
    FunctionChoice,
    GraphFunction,
    Instance,
    Layer,
    LostModule,
    Mapped,
    Maybe,
    Partial,
)

MADE_BY = "the result of"


def apply(
    frame: Frame, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """Call a value."""
    if isinstance(target, Maybe):
        return apply(frame, target.value, args, kwargs, node)
    if isinstance(target, Instance):
        return modules.call_instance(frame, target, args, kwargs, node)
    if isinstance(target, Partial):
        return apply(frame, target.func, (*target.args, *args), {**dict(target.kwargs), **kwargs}, node)
    if isinstance(target, Closure):
        result = call_closure(frame, target, args, kwargs, node)
        return number_of_call(frame, target, args, kwargs, node, result)
    if isinstance(target, ChosenFunction):
        return call_chosen(frame, target, args, kwargs, node)
    if isinstance(target, GraphFunction):
        return call_graph_function(frame, target, args, kwargs)
    if isinstance(target, Mapped):
        return call_mapped(frame, target, args, kwargs, node)
    if isinstance(target, Scanned):
        return call_scanned(frame, target, args, kwargs, node)
    if isinstance(target, Bound):
        return call_bound(frame, target, args, kwargs, node)
    if isinstance(target, Layer):
        return modules.linen_function(frame, target.name, args, kwargs, node)
    if isinstance(target, Global):
        return call_global(frame, target.name, args, kwargs, node)
    if isinstance(target, tuple) and target and all(isinstance(item, Instance) for item in target):  # OneOf
        return modules.call_one_of(frame, target, args, kwargs, node)
    if isinstance(target, Either):
        return call_either(frame, target, args, kwargs, node)
    if isinstance(target, FieldModule):
        return modules.call_field_module(frame, target, "__call__", args, kwargs, node)
    if isinstance(target, FunctionChoice):
        return _one_of(frame, target, args, kwargs, node)
    if isinstance(target, Expr):
        return _opaque_function(frame, target, args, kwargs, node)
    if isinstance(target, LostModule):
        raise Refuse("unknown-module", target.reason, node)
    if escapes(args) or escapes(tuple(kwargs.values())):
        raise Refuse("unknown-call", "a submodule is handed to a function that can't be followed", node)
    return Unknown(target.reason if isinstance(target, Unknown) else "a call that can't be followed")


def _one_of(
    frame: Frame, choice: FunctionChoice, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """A call of one of several functions: what they all return."""
    if escapes(args) or escapes(tuple(kwargs.values())):
        return Unknown("a submodule is handed to one of several functions")
    if choice.named and not _on_array(frame, args):
        raise _may_be_layer(choice.named, node)
    results = [effect_value(frame.session, apply(frame, f, args, kwargs, None)) for f in choice.functions]
    different = "functions that return different things"
    if all(isinstance(result, Unknown) for result in results):
        return results[0]
    joined = one_of_results(results, lambda one, other: Dim.unknown(different), different)
    return Array(joined.shape, None) if isinstance(joined, Array) else joined


def _opaque_function(
    frame: Frame, target: Expr, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any
) -> Any:
    """A function held by a field: activations keep shapes (assumed only for what is called like one)."""
    if target.kind == "initializer" and node is not None:
        return static_or_unknown(frame, node, "initializer")
    if target.kind == "elementwise" and target.text.startswith("getattr(") and not _on_array(frame, args):
        raise _may_be_layer(target.text, node)
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node)
    if escapes(args) or escapes(tuple(kwargs.values())):
        raise Refuse("unknown-call", f"a submodule is handed to `{target.text}`, which isn't known", node)
    keeps_shape = target.kind == "elementwise" or is_activation_name(target.text)
    units = frame.session.program.gated_units
    owners = frame.session.instances_of  # the text may be that of a class around
    gated = keeps_shape and any(units.may_reach(cls, target.text) for cls in owners)
    if keeps_shape and not gated and len(args) == 1 and not kwargs:
        value = effect_value(frame.session, args[0])
        if isinstance(value, Array):
            return Array(value.shape, None)
    return Unknown(f"{MADE_BY} `{target.text}(...)` isn't known")


def _may_be_layer(text: str, node: ast.Call | None) -> Refuse:
    return Refuse("unknown-module", f"what `{text}` is isn't known; it may be a layer", node)


def _on_array(frame: Frame, args: tuple[Any, ...]) -> bool:
    """Whether a function is called on an array: layers are constructed with sizes."""
    return bool(args) and isinstance(effect_value(frame.session, args[0]), Array)
