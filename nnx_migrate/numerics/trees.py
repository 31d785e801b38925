"""Flat views of what models hold and return: `{path: array}`, paths being tuples of strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nnx_migrate.numerics.map_expansion import LeafSpec
from nnx_migrate.numerics.map_patterns import Path


def flatten(tree: Any) -> dict[Path, Any]:
    """The leaves of any pytree by path: keys, indices and field names as strings."""
    return {_path(keys): leaf for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def flatten_output(output: Any) -> tuple[dict[Path, jax.Array], dict[Path, str]]:
    """The arrays of a model's output, and the class names of the leaves that are no arrays.

    Python numbers count as arrays, NNX Variables as their values, typed PRNG keys as their data.
    """
    output = jax.tree.map(
        lambda x: x.get_value() if isinstance(x, nnx.Variable) else x,
        output,
        is_leaf=lambda x: isinstance(x, nnx.Variable),
    )
    arrays, opaque = {}, {}
    for path, leaf in flatten(output).items():
        if is_array(leaf) or isinstance(leaf, (bool, int, float, complex)):
            arrays[path] = plain(jnp.asarray(leaf))
        else:
            opaque[path] = type(leaf).__qualname__
    return arrays, opaque


def split_arrays(tree: Any) -> tuple[list[Any], Callable[[Iterable[Any]], Any]]:
    """The array leaves of a tree, and the function that puts others in their place."""
    leaves, structure = jax.tree.flatten(tree)
    arrays = [leaf for leaf in leaves if is_array(leaf)]

    def rebuild(replacements: Iterable[Any]) -> Any:
        queue = iter(replacements)
        return jax.tree.unflatten(structure, [next(queue) if is_array(leaf) else leaf for leaf in leaves])

    return arrays, rebuild


def is_array(leaf: Any) -> bool:
    """Whether JAX would trace the leaf as an array."""
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic)) and leaf.dtype != np.object_


def is_trainable(leaf: Any) -> bool:
    """Whether jax.grad can differentiate with respect to the leaf."""
    return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def plain(array: Any) -> Any:
    """The array, or the key data of a typed PRNG key."""
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array


def spec_of(array: Any, kind: str) -> LeafSpec:
    """Shape, dtype and kind of one leaf."""
    return LeafSpec(tuple(array.shape), str(array.dtype), kind)


def to_numpy(leaves: dict[Path, Any]) -> dict[Path, np.ndarray]:
    """The leaves on the host."""
    return {path: np.asarray(plain(jnp.asarray(leaf))) for path, leaf in leaves.items()}


def _path(keys: Iterable[Any]) -> Path:
    return tuple(_element(key) for key in keys)


def _element(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
