"""Sizes that modules get from variables, where these are there before any input has been seen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
from flax import nnx

from nnx_migrate.nnx.helpers.variables import _collection, _is_variable

if TYPE_CHECKING:
    from nnx_migrate.nnx.helpers.functional import Functional


def _fit(made: Functional, variables: Mapping[str, Any]) -> None:
    """Give a module, and those among its arguments, the sizes that the shapes of variables show.

    The module is made with numbers that nothing else has: where a shape has one, the variables have the size.
    """
    open_parts = [part for part in _parts(made) if part._sizes is not None and not part._found]
    unknown = [(part, size) for part in open_parts for size in _open_sizes(part)]
    probes = [720 * (2 * index + 13) for index in range(len(unknown))]
    for probe, (part, size) in zip(probes, unknown, strict=True):
        part._found[size.name] = probe
    try:
        variables = made._arranged(variables)
        sizes = {
            n: m for probed, given in _shapes(made, variables) for n, m in zip(probed, given, strict=True)
        }
        for probe, (part, size) in zip(probes, unknown, strict=True):
            part._found[size.name] = sizes[probe] if size.default is size.empty else sizes.get(probe)
        if any(probed != given for probed, given in _shapes(made, variables)):
            raise ValueError("the variables have other shapes")
    except Exception as error:
        for part in open_parts:
            part._found.clear()
        raise TypeError(
            f"{made!r} takes sizes from its inputs: call `init` or `apply` before `bind`"
        ) from error


def _constructor(make: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose signature is that of a class, whatever its metaclass does, or the function itself."""
    return make.__init__ if isinstance(make, type) else make


def _parts(made: Functional) -> Iterator[Functional]:
    yield made
    for part in made._inner():
        yield from _parts(part)


def _open_sizes(made: Functional) -> list[inspect.Parameter]:
    """The sizes that its constructor takes and that aren't given."""
    parameters = inspect.signature(_constructor(made._make)).parameters.values()
    names = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "rngs"]
    return [p for p in names if p.name not in made._kwargs]


def _shapes(
    made: Functional, variables: Mapping[str, Any]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The shapes of the module's variables beside those of the same ones that are given."""
    module = nnx.eval_shape(lambda: made._new(nnx.Rngs(0)))
    for path, leaf in nnx.to_flat_state(nnx.state(module)):
        if _is_variable(leaf):
            value: Any = variables.get(_collection(leaf), {})
            for key in path:
                value = value.get(str(key), {})
            shapes = [a.shape for a in jax.tree.leaves(value)]
            if len(shapes) == 1:
                yield tuple(leaf.get_value().shape), tuple(shapes[0])
