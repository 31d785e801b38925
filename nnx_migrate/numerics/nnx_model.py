"""Looking into a live NNX model: its variables as a flat tree, its submodules' classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from nnx_migrate.numerics.layer_maps import canonical_class
from nnx_migrate.numerics.map_expansion import LeafSpec
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.trees import flatten, is_array, spec_of

_STOCK_TYPES = {nnx.Param: "params", nnx.BatchStat: "batch_stats", nnx.Cache: "cache"}
#: Variables that hold no state to carry over: random streams and what `sow` leaves behind.
NOT_STATE = (nnx.RngState, nnx.Intermediate, nnx.Perturbation)


def variables_of(state: Any) -> dict[Path, nnx.Variable[Any]]:
    """The variables of a model or State by path, random streams and sown values left out."""
    state = state if isinstance(state, nnx.State) else nnx.state(state)
    return {
        tuple(map(str, path)): variable
        for path, variable in nnx.to_flat_state(state)
        if isinstance(variable, nnx.Variable) and not isinstance(variable, NOT_STATE)
    }


def hold_arrays(model: nnx.Module) -> None:
    """Numbers of Python in variables become arrays, as they do in Linen once `init` is compiled."""
    for variable in variables_of(model).values():
        if isinstance(variable.get_value(), bool | int | float | complex):
            variable.set_value(jnp.asarray(variable.get_value()))


def sown_in(model: nnx.Module) -> dict[Path, Any]:
    """What `sow` has stored in a model, by path; the last element counts the values of one name."""
    return {
        tuple(map(str, path)) + below: leaf
        for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Intermediate))
        for below, leaf in flatten(variable.get_value()).items()
    }


def leaves_of(state: Any) -> dict[Path, Any]:
    """The arrays of `variables_of`; a variable that holds a pytree has one leaf for each of its arrays."""
    return {
        path + below: leaf
        for path, variable in variables_of(state).items()
        for below, leaf in flatten(variable.get_value()).items()
    }


def specs_of(state: Any) -> dict[Path, LeafSpec]:
    """Shape, dtype and kind of every leaf; the kind is the collection that the Variable type stands for."""
    return {
        path + below: spec_of(leaf, kind_of(variable))
        for path, variable in variables_of(state).items()
        for below, leaf in flatten(variable.get_value()).items()
        if is_array(leaf)
    }


def kind_of(variable: nnx.Variable[Any]) -> str:
    """``params``, ``batch_stats`` or ``cache`` for those types and their subclasses, else the registered
    name."""
    for stock, name in _STOCK_TYPES.items():
        if isinstance(variable, stock):
            return name
    try:
        return nnx.variable_name_from_type(type(variable))
    except ValueError:
        return type(variable).__name__


def with_leaves(state: nnx.State[Any, Any], leaves: Mapping[Path, Any]) -> nnx.State[Any, Any]:
    """A new State (its Variables too are new) with `leaves` in place of the arrays they name."""

    def replaced(path: Any, variable: Any) -> Any:
        if not isinstance(variable, nnx.Variable):
            return variable
        prefix = tuple(map(str, path))
        values, structure = jax.tree.flatten(variable.get_value())
        paths = [prefix + below for below in flatten(variable.get_value())]
        new = [leaves.get(path, value) for path, value in zip(paths, values, strict=True)]
        return variable.replace(jax.tree.unflatten(structure, new))

    return nnx.map_state(replaced, state)


def set_leaves(model: nnx.Module, leaves: Mapping[Path, Any]) -> None:
    """Writes arrays into the live model's variables; paths that it lacks are ignored, so check before."""
    for prefix, variable in variables_of(model).items():
        values, structure = jax.tree.flatten(variable.get_value())
        paths = [prefix + below for below in flatten(variable.get_value())]
        if any(path in leaves for path in paths):
            new = [jnp.asarray(leaves.get(path, value)) for path, value in zip(paths, values, strict=True)]
            variable.set_value(jax.tree.unflatten(structure, new))


def class_names(node: Any) -> Sequence[str]:
    """The keys of a module's class and its bases, subclass first."""
    return [canonical_class(c.__module__, c.__qualname__) for c in type(node).__mro__ if c is not object]


def submodule(model: Any, path: Path) -> Any:
    """The object at a path, or None."""
    node = model
    for element in path:
        if element.isdecimal() and hasattr(node, "__getitem__"):
            try:
                node = node[int(element)]
                continue
            except (KeyError, IndexError, TypeError):
                return None
        node = getattr(node, element, None)
    return node
