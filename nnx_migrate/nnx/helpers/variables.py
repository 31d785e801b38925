"""Trees of a module's variables: dictionaries of arrays by collection, as programs carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx
from flax.core.meta import AxisMetadata
from flax.linen import partitioning


def _by_collection(state: Any) -> dict[str, Any]:
    """The variables of a state as trees of arrays, by collection; random streams are left out."""
    collections: dict[str, Any] = {}
    for path, leaf in nnx.to_flat_state(state):
        if _is_variable(leaf):
            *above, last = map(str, path)
            value, names = _with_names(leaf)
            _put(collections, (_collection(leaf), *above, last), value)
            if names is not None:
                _put(collections, ("params_axes", *above, f"{last}_axes"), partitioning.AxisMetadata(names))
    return collections


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set what a tree holds at a path; what leads there is made."""
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def _chosen(collections: Mapping[str, Any], wanted: str | Sequence[str]) -> dict[str, Any]:
    names = [wanted] if isinstance(wanted, str) else wanted
    return {name: tree for name, tree in collections.items() if name in names}


def _with_names(leaf: Any) -> tuple[Any, Any]:
    """The value of a variable, in the box that has the names of its axes if the program reads these; and the names
    if it reads them elsewhere.
    """
    metadata, value = leaf.get_metadata(), leaf.get_value()
    box, names = metadata.get("linen_box"), metadata.get("out_sharding")
    if box == "AxisMetadata":
        return value, names
    return getattr(linen, box)(value, names) if box else value, None


def _is_variable(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Variable) and not isinstance(leaf, nnx.RngState)


def _collection(variable: Any) -> str:
    return nnx.variable_name_from_type(type(variable), allow_register=True)


def _leaf(path: Sequence[Any], leaf: Any, variables: Mapping[str, Any]) -> Any:
    """The value for a leaf of the module; random streams get placeholders."""
    if isinstance(leaf, nnx.RngKey):
        return jnp.broadcast_to(jax.random.key(0), leaf.get_value().shape)
    if isinstance(leaf, nnx.RngCount):
        return jnp.zeros(leaf.get_value().shape, jnp.uint32)
    if not isinstance(leaf, nnx.Variable):
        return leaf
    value: Any = variables
    for key in (_collection(leaf), *path):
        try:
            value = value[str(key)]
        except KeyError:
            raise KeyError(
                f"no variable {'/'.join(map(str, path))} in collection {_collection(leaf)!r}"
            ) from None
    return value.unbox() if isinstance(value, AxisMetadata) else value
