"""Small functions of `flax.linen` that `flax.nnx` lacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def merge_param(name: str, a: Any, b: Any) -> Any:
    """The one of two values that is not None, as in Linen; ValueError if that is both or neither."""
    if a is None and b is None:
        raise ValueError(f"`{name}` is given neither to the constructor nor to the call")
    if a is not None and b is not None:
        raise ValueError(f"`{name}` is given both to the constructor and to the call")
    return b if a is None else a


class StaticDict(dict[Any, Any]):
    """A dict that is one value for JAX and NNX, whatever it holds: equal to itself alone."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Whether it is the same dict; arrays in it are never compared."""
        return self is other

    def __ne__(self, other: object) -> bool:
        """The opposite."""
        return self is not other


def static_dict(value: Any) -> Any:
    """A value that modules may hold although it is a dict of arrays: the weights of a file, say."""
    return StaticDict(value) if type(value) is dict else value


def call_with(layer_class: type, layer: nnx.Module, *inputs: Any, **arrays: Any) -> Any:
    """What a layer of `layer_class` computes with other arrays in the place of some of its parameters."""
    return layer_class.__call__(SimpleNamespace(**{**vars(layer), **arrays}), *inputs)


class BatchApply(nnx.Module):
    """Merges the first `num_dims` dimensions of all inputs, applies `f`, and splits them again."""

    def __init__(self, f: Callable[..., Any], num_dims: int = 2) -> None:
        self.f = f
        self.num_dims = num_dims

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply `f` to the merged inputs; inputs with fewer dimensions are passed as they are."""
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves((args, kwargs))]
        batch = next((leaf.shape[: self.num_dims] for leaf in leaves if leaf.ndim >= self.num_dims), None)
        if batch is None:
            raise ValueError(f"no input has the {self.num_dims} dimensions that BatchApply merges")

        def merge(leaf: Any) -> Any:
            shape = jnp.shape(leaf)
            if len(shape) < self.num_dims:
                return leaf
            return leaf.reshape(math.prod(shape[: self.num_dims]), *shape[self.num_dims :])

        outputs = self.f(*jax.tree.map(merge, args), **jax.tree.map(merge, kwargs))
        return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), outputs)
