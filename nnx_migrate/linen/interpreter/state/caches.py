"""Caches: variables that the first call makes, and that a program may leave out or give from then on.

`self.has_variable("cache", "cached_key")` tells the calls that find a cache from the one that makes it. Not
only `init` makes caches: `apply` with a mutable collection that isn't given does, too. So these variables stay
what calls make, also in NNX.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.state.parameter_reads import PARAMS, parameter
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Lookup
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import OwnVariables

CACHE = "cache"


def is_made_by_calls(cls: LinenClass, collection: str) -> bool:
    """Whether calls of the class make the variables of a collection: it asks whether they are there."""
    return collection == CACHE and any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "has_variable"
        and any(isinstance(a, ast.Constant) and a.value == CACHE for a in _given(node))
        for owner in cls.mro
        for node in ast.walk(owner.node)
    )


def _given(call: ast.Call) -> Sequence[ast.expr]:
    return [*call.args[:1], *(k.value for k in call.keywords if k.arg == "col")]


def kept_sizes(value: Any) -> Any:
    """A cache as later calls find it: of its sizes, only those are known that are the same in every call."""
    if not isinstance(value, Array):
        return value
    dims = tuple(dim if _is_constant(dim) else Dim.unknown("a size of a cache") for dim in value.shape.dims)
    return value.with_shape(Shape(dims, value.shape.lead))


def _is_constant(dim: Dim) -> bool:
    """Whether a size depends on nothing of a call but the features of its inputs."""
    return dim.known and all(m["kind"] == "s" or m["id"] == "-1" for m in TOKEN.finditer(dim.text()))


def own_variables(frame: Frame, value: OwnVariables, index: Any, node: ast.Subscript | None) -> Any:
    """`self.variables["cache"]`, and `self.variables["cache"]["cached_key"]`: what a cache holds."""
    path = (*value.path, index)
    if path[0] == PARAMS and isinstance(index, str):
        return parameter(frame, OwnVariables(path, value.module), node)
    if value.module is not None:
        return missing(frame, node)
    if path == (CACHE,):
        return OwnVariables(path)
    if len(path) == 2 and path[0] == CACHE and isinstance(index, str):
        return read(frame, index, node)
    return missing(frame, node)


def missing(frame: Frame, node: ast.AST | None) -> Any:
    """Other reads of a module's variables by their names."""
    if frame.foreign:
        return Unknown("`self.variables`")
    raise Refuse("unsupported-api", "`self.variables`", node)


def read(frame: Frame, name: str, node: ast.AST | None) -> Any:
    """The value of a cache that the code reads by its name."""
    if not frame.foreign:
        if node is None or not is_made_by_calls(frame.session.cls, CACHE):
            return missing(frame, node)
        remember(frame, Lookup(CACHE, name, node, frame.context, frame.controls, True, True))
    return Array(Shape((), ""))


def remember(frame: Frame, lookup: Lookup) -> None:
    """Record a look-up, once."""
    lookups = frame.session.facts.lookups
    if (lookup.node, lookup.context) not in {(found.node, found.context) for found in lookups}:
        lookups.append(lookup)
