"""Modules with caches as pure functions: what their first call makes is part of their variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from nnx_migrate.nnx.helpers.functional import Functional
from nnx_migrate.nnx.helpers.variables import _chosen


class CachingFunctional(Functional):
    """A `Functional` whose module makes caches in its first call and reads them in those after it.

    `init` calls the module, and so returns new caches, too. `apply` makes them anew where none are given.
    """

    def init(self, rngs: Any, *inputs: Any, **options: Any) -> dict[str, Any]:
        """The variables of a new module, with the caches that a call with these inputs makes."""
        return self.init_with_output(rngs, *inputs, **options)[1]

    def lazy_init(self, rngs: Any, *inputs: Any, **options: Any) -> dict[str, Any]:
        """The same for inputs of which only the shapes are given."""
        return self.init(rngs, *jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), inputs), **options)

    def init_with_output(
        self, rngs: Any, *inputs: Any, method: Any = None, mutable: Any = True, **keywords: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The output of a new module, and its variables."""
        variables = super().init(rngs, *inputs, method=method, **keywords)
        output, called = super().apply(variables, *inputs, rngs=rngs, method=method, mutable=True, **keywords)
        called.pop("intermediates", None)
        made = _joined(called, variables)  # of what was there, an initialisation changes nothing
        return output, made if mutable is True else _chosen(made, mutable)

    def bind(self, variables: Mapping[str, Any], rngs: Any = None) -> Any:
        """A module with copies of these variables, caches included."""
        module = super().bind(variables, rngs)
        for collection in variables.keys() - {"params", "intermediates"}:
            _give_caches(module, collection, variables[collection])
        return module


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees in one; where both have a leaf, that of the second."""
    both = {
        key: _joined(first[key], second[key])
        for key in first.keys() & second.keys()
        if isinstance(first[key], Mapping)
    }
    return {**first, **second, **both}


def _give_caches(module: Any, collection: str, tree: Mapping[str, Any]) -> None:
    """Fill the attributes that are None until a call makes a cache."""
    for name, value in tree.items():
        if isinstance(module, nnx.Dict):
            held = module[name]
        else:
            held = module[int(name)] if isinstance(module, nnx.List) else getattr(module, name, value)
        if held is None:
            kind = nnx.variable_type_from_name(collection, allow_register=True)
            setattr(module, name, kind(value))
        elif isinstance(value, Mapping) and not isinstance(held, nnx.Variable | Mapping):
            _give_caches(held, collection, value)
