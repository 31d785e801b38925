"""Modules that hold Linen ones as pure functions: a call with inputs makes the variables of these."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from nnx_migrate.nnx.helpers.functional import Functional, _method_of, _streams
from nnx_migrate.nnx.helpers.variables import _by_collection, _chosen, _put


class BridgingFunctional(Functional):
    """A `Functional` whose module holds Linen modules (`nnx.bridge.ToNNX`).

    `init` calls the module with the inputs, which initialises these.
    """

    def init(
        self, rngs: Any, *inputs: Any, method: Any = None, mutable: Any = True, **keywords: Any
    ) -> dict[str, Any]:
        """The variables of a new module, those of its Linen modules included."""
        self._measure(inputs, keywords, method)
        module = self._new(_streams(rngs))
        made = _by_collection(nnx.state(module))  # the call changes what NNX modules hold
        call = method if callable(method) else getattr(type(module), method or "__call__")
        nnx.bridge.lazy_init(types.MethodType(getattr(call, "__func__", call), module), *inputs, **keywords)
        for path, bridge in _bridges(module):
            for collection, tree in _by_collection(nnx.state(bridge)).items():
                _put(made, (collection, *path), tree)
        return made if mutable is True else _chosen(made, mutable)

    def lazy_init(self, rngs: Any, *inputs: Any, **options: Any) -> dict[str, Any]:
        """The same for inputs of which only the shapes are given."""
        return self.init(rngs, *jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), inputs), **options)

    def apply(
        self,
        variables: Mapping[str, Any],
        *inputs: Any,
        rngs: Any = None,
        method: Callable[..., Any] | str | None = None,
        mutable: bool | str | Sequence[str] = False,
        **keywords: Any,
    ) -> Any:
        """Call a module that has these variables, without `nnx.capture`: Linen modules can't be called in it."""
        if method is None:
            self._measure(inputs, keywords, known=True)
        module = self.bind(variables, rngs)
        call, arguments = _method_of(module, method, inputs)
        output = call(*arguments, **keywords)
        if mutable is False:
            return output
        updated = _by_collection(nnx.state(module))
        return output, updated if mutable is True else _chosen(updated, mutable)

    def bind(self, variables: Mapping[str, Any], rngs: Any = None) -> Any:
        """A module with copies of these variables."""
        module = super().bind(variables, rngs)
        for path, bridge in _bridges(module):
            trees: dict[str, Any] = {}
            for collection, tree in variables.items():
                if collection != "intermediates":
                    kind = nnx.variable_type_from_name(collection, allow_register=True)
                    _add(trees, kind, _at(tree, path))
            for name, tree in trees.items():
                setattr(bridge, name, tree)
        return module


def _bridges(module: Any) -> list[tuple[tuple[str, ...], Any]]:
    """The Linen modules that a module holds, by path."""
    nodes = nnx.iter_graph(module)
    return [(tuple(map(str, path)), node) for path, node in nodes if isinstance(node, nnx.bridge.ToNNX)]


def _at(tree: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
    """What a tree of variables holds at a path; nothing, if it ends before."""
    for key in path:
        tree = tree.get(key, {})
    return tree


def _add(made: dict[str, Any], kind: type[nnx.Variable[Any]], tree: Mapping[str, Any]) -> None:
    """Add the variables of one collection."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _add(made.setdefault(key, {}), kind, value)
        else:
            made[key] = kind(value)
