"""Where an entry of a parameter map applies in two concrete trees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnx_migrate.numerics.map_patterns import ORDINAL, Path, PathPattern, PatternError, Value
from nnx_migrate.numerics.parameter_map import ModuleEntry, PathEntry


@dataclass(frozen=True)
class Place:
    """One concrete place of an entry; several paths where layers are stacked or unstacked."""

    linen: tuple[Path, ...]
    nnx: tuple[Path, ...]


def places(
    entry: PathEntry, linen_patterns: Sequence[PathPattern], linen: Sequence[Path], nnx: Sequence[Path]
) -> list[Place]:
    """All concrete places of an entry among relative paths, whichever side binds its indices."""
    linen_names = entry.linen_names
    if entry.nnx.binds:
        bindings = _bindings(entry, entry.nnx, nnx)
        if entry.transform.kind == "unstack":
            return _unstacked_sites(entry, linen_patterns, bindings)
        if isinstance(entry, ModuleEntry) and entry.has_unknown_names:
            return _named_by_runs(entry, linen, bindings)
        if linen_names - entry.nnx.names:
            return _stacked_sites(entry, linen_patterns, linen, bindings)
        return [
            Place(tuple(p.render(binding) for p in linen_patterns), (entry.nnx.render(binding),))
            for binding in bindings
        ]
    (pattern,) = linen_patterns[:1]
    if not pattern.binds:
        raise PatternError(f"neither {pattern} nor {entry.nnx} determines the indices")
    return [
        Place(tuple(p.render(binding) for p in linen_patterns), (entry.nnx.render(binding),))
        for binding in _bindings(entry, pattern, linen)
    ]


def _bindings(
    entry: PathEntry, pattern: PathPattern, paths: Sequence[Path], start: Mapping[str, Value] | None = None
) -> list[dict[str, Value]]:
    """The index bindings under which `pattern` matches one of `paths`, sorted, each with its ordinal."""
    if (
        not pattern.names
    ):  # a literal path: take it as it stands, so that a missing leaf is reported and not skipped
        return [{**(start or {}), ORDINAL: 0}]
    matches = [pattern.match(path, start) for path in paths]
    found = [m for m in matches if m is not None and (entry.where is None or entry.where(m))]
    found.sort(key=lambda binding: tuple((str(type(v)), v) for v in binding.values()))
    return [{**binding, ORDINAL: ordinal} for ordinal, binding in enumerate(found)]


def _unstacked_sites(
    entry: PathEntry, linen_patterns: Sequence[PathPattern], bindings: Sequence[dict[str, Value]]
) -> list[Place]:
    """One stacked Linen place, several NNX places: bindings grouped by what Linen's path depends on."""
    groups: dict[tuple[Path, ...], list[Path]] = defaultdict(list)
    for binding in bindings:
        groups[tuple(p.render(binding) for p in linen_patterns)].append(entry.nnx.render(binding))
    return [Place(linen, tuple(nnx)) for linen, nnx in groups.items()]


def _stacked_sites(
    entry: PathEntry,
    linen_patterns: Sequence[PathPattern],
    linen: Sequence[Path],
    bindings: Sequence[dict[str, Value]],
) -> list[Place]:
    """Several Linen places, one NNX place that stacks them in the order of their indices."""
    if entry.transform.kind != "stack":
        free = ", ".join(sorted(entry.linen_names - entry.nnx.names))
        raise PatternError(f"index {free} stands on Linen's side only, and the transform is not stack")
    sites = []
    for binding in bindings:
        start = {name: value for name, value in binding.items() if name != ORDINAL}
        layers = _bindings(entry, linen_patterns[0], linen, start)
        if layers:
            sources = tuple(p.render(layer) for layer in layers for p in linen_patterns)
            sites.append(Place(sources, (entry.nnx.render(binding),)))
    return sites


def _named_by_runs(
    entry: ModuleEntry, linen: Sequence[Path], bindings: Sequence[dict[str, Value]]
) -> list[Place]:
    """The one Linen place that fits each NNX place, whatever its name has where the code doesn't show it."""
    found = []
    for binding in bindings:
        start = {name: value for name, value in binding.items() if name != ORDINAL}
        fitting = [entry.linen.render(b) for b in _bindings(entry, entry.linen, linen, start)]
        if len(fitting) > 1:
            names = ", ".join("/".join(path) for path in fitting)
            raise PatternError(f"{names}: any of them may be {entry.linen}")
        found += [Place((path,), (entry.nnx.render(binding),)) for path in fitting]
    return found
