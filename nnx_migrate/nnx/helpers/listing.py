"""Modules with lists as pure functions, for programs that know what the lists hold by Linen's names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from flax import nnx

from nnx_migrate.nnx.helpers.bridging import BridgingFunctional
from nnx_migrate.nnx.helpers.caching import CachingFunctional
from nnx_migrate.nnx.helpers.functional import Functional
from nnx_migrate.nnx.helpers.renaming import _Renaming


class _Listing(_Renaming):
    """In its variables the modules of a list `blocks` are `blocks_0`, `blocks_1`, ..., as Linen calls them."""

    def _arranged(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Variables as the module has them."""
        lists = self._lists()
        return {name: _nested(tree, lists) for name, tree in variables.items()}

    def _named(self, collections: Mapping[str, Any]) -> dict[str, Any]:
        lists = self._lists()
        return {name: _listed(tree, lists) for name, tree in collections.items()}

    def _lists(self) -> frozenset[tuple[str, ...]]:
        """The paths of the module's lists."""
        nodes = nnx.iter_graph(nnx.merge(*self._structure(("default",))))
        paths = {path[:end] for path, _ in nodes for end, key in enumerate(path) if isinstance(key, int)}
        return frozenset(tuple(map(str, path)) for path in paths)


class ListingFunctional(_Listing, Functional):
    """A `Functional` in whose variables the modules of a list `blocks` are `blocks_0`, `blocks_1`, ..."""


class ListingCachingFunctional(_Listing, CachingFunctional):
    """A `CachingFunctional` in whose variables the modules of a list `blocks` are `blocks_0`, `blocks_1`, ..."""


class ListingBridgingFunctional(_Listing, BridgingFunctional):
    """A `BridgingFunctional` in whose variables the modules of a list `blocks` are `blocks_0`, `blocks_1`, ..."""


def _listed(tree: Any, lists: Collection[tuple[str, ...]], path: tuple[str, ...] = ()) -> Any:
    """A tree of variables with the modules of lists beside what holds the list."""
    if not isinstance(tree, Mapping):
        return tree
    made: dict[str, Any] = {}
    for key, below in tree.items():
        for name, place, part in _elements(key, (*path, key), below, lists):
            if name in made:
                raise ValueError(f"two modules are called {'/'.join((*path, name))}")
            made[name] = _listed(part, lists, place)
    return made


def _elements(
    name: str, place: tuple[str, ...], tree: Any, lists: Collection[tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    if place not in lists or not isinstance(tree, Mapping):
        yield name, place, tree
        return
    for index, part in tree.items():
        yield from _elements(f"{name}_{index}", (*place, index), part, lists)


def _nested(tree: Any, lists: Collection[tuple[str, ...]], path: tuple[str, ...] = ()) -> Any:
    """The reverse of `_listed`."""
    if not isinstance(tree, Mapping):
        return tree
    made: dict[str, Any] = {}
    for name, below in tree.items():
        *above, last = place = _place(name, lists, path)
        inner = made
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = _nested(below, lists, (*path, *place))
    return made


def _place(name: str, lists: Collection[tuple[str, ...]], path: tuple[str, ...]) -> tuple[str, ...]:
    """The keys for a name: `("blocks", "0")` for `blocks_0`, if `blocks` is a list."""
    start, _, index = name.rpartition("_")
    if start and index.isdecimal():
        above = _place(start, lists, path)
        if (*path, *above) in lists:
            return (*above, index)
    return (name,)
