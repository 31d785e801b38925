"""Modules among whose parts some hold the same one, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flax import nnx, traverse_util

from nnx_migrate.nnx.helpers.functional import Functional
from nnx_migrate.nnx.helpers.renaming import _Renaming
from nnx_migrate.nnx.helpers.variables import _put

_Path = tuple[str, ...]


class SharingFunctional(_Renaming, Functional):
    """A `Functional` among whose arguments one may occur several times: that is one module.

    The variables of a module that it holds itself, and that others of its modules hold, too, stand under its own name
    for it, as in Linen.
    """

    def _new(self, rngs: nnx.Rngs, inner: Callable[[Functional, nnx.Rngs], Any] | None = None) -> Any:
        made: dict[int, Any] = {}

        def once(part: Functional, rngs: nnx.Rngs) -> Any:
            if id(part) not in made:
                made[id(part)] = Functional._new(part, rngs, once) if inner is None else inner(part, rngs)
            return made[id(part)]

        return super()._new(rngs, once)

    def _arranged(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Variables as the module has them."""
        places = {owner: place for place, owner in self._owners().items()}
        return {name: _moved(tree, places) for name, tree in variables.items()}

    def _named(self, collections: Mapping[str, Any]) -> dict[str, Any]:
        owners = self._owners()
        return {name: _moved(tree, owners) for name, tree in collections.items()}

    def _owners(self) -> dict[_Path, _Path]:
        """Where NNX keeps each module, and where it stands in Linen: as its own, else where it is met first."""
        module = nnx.merge(*self._structure(("default",)))
        found: dict[int, _Path] = {}
        parts = dict(_modules_within(module))
        for name in sorted(parts):
            found.setdefault(id(parts[name]), (name,))
        for name in sorted(parts):
            _find_inner(parts[name], found)
        return {tuple(map(str, place)): found.get(id(part), ()) for place, part in nnx.iter_modules(module)}


def _find_inner(module: Any, found: dict[int, _Path]) -> None:
    for name, part in _modules_within(module):
        if id(part) not in found:
            found[id(part)] = (*found[id(module)], name)
            _find_inner(part, found)


def _modules_within(module: Any) -> Iterator[tuple[str, Any]]:
    for name, part in nnx.iter_children(module):
        if isinstance(part, nnx.Module):
            yield str(name), part


def _moved(tree: Mapping[str, Any], places: Mapping[_Path, _Path]) -> dict[str, Any]:
    """A tree of variables in which those of each module stand elsewhere."""
    moved: dict[str, Any] = {}
    for path, value in traverse_util.flatten_dict(dict(tree)).items():
        at = next(path[:n] for n in range(len(path), -1, -1) if path[:n] in places)
        _put(moved, (*places[at], *path[len(at) :]), value)
    return moved
