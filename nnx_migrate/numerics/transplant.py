"""Moving variables from one model to the other: checked, because `nnx.update` checks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flax import nnx

from nnx_migrate.numerics import matching
from nnx_migrate.numerics.leaf_transforms import IDENTITY
from nnx_migrate.numerics.linen_side import linen_leaves
from nnx_migrate.numerics.map_expansion import (
    ClassOf,
    Expansion,
    LeafPair,
    LeafSpec,
    MapError,
    expand,
    find_problems,
)
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.nnx_model import class_names, set_leaves, specs_of, submodule
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.recording import Description
from nnx_migrate.numerics.trees import is_array, spec_of


def correspond(
    before: Description, after: Description, parameter_map: ParameterMap | None, class_of: ClassOf
) -> Expansion:
    """Which leaf becomes which; MapError unless every leaf of both sides has one counterpart that fits.

    Two models of the same library correspond by path. From Linen to NNX the map decides; if it is None or
    does not know the model's class, `matching.match` does.
    """
    if before.kind == after.kind:
        pairs = [LeafPair((path,), (path,)) for path in before.specs]
        if problems := find_problems(pairs, before.specs, after.specs):
            raise MapError(problems)
        return Expansion(pairs)
    root = None if parameter_map is None else parameter_map.key(after.class_name)
    if parameter_map is None or root is None:
        return matching.match(before, after)
    key = parameter_map.key
    return expand(
        parameter_map, root, before.specs, after.specs, lambda path: [key(n) or n for n in class_of(path)]
    )


def move(
    expansion: Expansion, leaves: Mapping[Path, Any], targets: Mapping[Path, LeafSpec]
) -> dict[Path, Any]:
    """The leaves in the other side's layout; gradients move like the variables they belong to.

    A pair none of whose sources is in `leaves` is left out: gradients exist for parameters only. Shapes come
    from `targets`; raises TransformError where the leaves do not suit them.
    """
    result: dict[Path, Any] = {}
    for pair in expansion.pairs:
        if not any(path in leaves for path in pair.linen):
            continue
        sources = [leaves[path] for path in pair.linen]
        if pair.transform == IDENTITY:
            result[pair.nnx[0]] = sources[0]
        else:
            shapes = [targets[path].shape for path in pair.nnx]
            result.update(zip(pair.nnx, pair.transform.apply(sources, shapes), strict=True))
    return result


@dataclass(frozen=True)
class Translation:
    """Brings what the first side reports into the second side's layout."""

    expansion: Expansion
    targets: Mapping[Path, LeafSpec]

    def variables(self, leaves: Mapping[Path, Any]) -> dict[Path, Any]:
        """Variables or gradients; those that a call has made have no counterpart, and keep their path."""
        known = {path for pair in self.expansion.pairs for path in pair.linen}
        new = {path: value for path, value in leaves.items() if path not in known}
        return {**move(self.expansion, leaves, self.targets), **new}

    def sown(self, leaves: Mapping[Path, Any]) -> dict[Path, Any]:
        """Sown values, by the nearest module whose place is known."""
        return {self._place(path): value for path, value in leaves.items()}

    def _place(self, path: Path) -> Path:
        for length in range(len(path) - 1, -1, -1):
            if path[:length] in self.expansion.scopes:
                return self.expansion.scopes[path[:length]] + path[length:]
        return path


def transplant(
    variables: Mapping[str, Any], model: nnx.Module, parameter_map: ParameterMap | None = None
) -> Expansion:
    """Writes Linen variables (of `init`, a TrainState or a checkpoint) into a live NNX model, in place.

    Nothing is written unless the correspondence is complete and shapes, dtypes and collections fit; MapError
    otherwise. Without a map the paths have to be the same on both sides.
    """
    leaves = linen_leaves(variables)
    before = Description(
        "linen", "", {path: spec_of(leaf, path[0]) for path, leaf in leaves.items() if is_array(leaf)}
    )
    after = Description("nnx", class_names(model)[0], specs_of(model))
    expansion = correspond(before, after, parameter_map, lambda path: class_names(submodule(model, path)))
    set_leaves(model, move(expansion, leaves, after.specs))
    return expansion
