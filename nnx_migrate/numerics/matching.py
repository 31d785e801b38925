"""Finding the correspondence of two models without a map.

First by path, spelled each library's way. Where that does not do, by the order in which a call reads the
variables: modules are grouped by what they hold (names, shapes and dtypes of their leaves), and within a
group the n-th that Linen reads is the n-th that NNX reads. A wrong guess cannot make a proof pass, because
every variable differs from every other; but it is not offered where the groups differ in size, so that the
report says what is missing instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from nnx_migrate.numerics.map_expansion import Expansion, LeafPair, LeafSpec, MapError, expand, show
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.recording import Description

_Signature = frozenset[tuple[str, LeafSpec]]


def match(linen: Description, nnx: Description) -> Expansion:
    """A complete correspondence of a Linen and an NNX model, or MapError with what does not fit."""
    try:
        return expand(ParameterMap(), None, linen.specs, nnx.specs)
    except MapError as by_path:
        pairs = _by_reads(linen, nnx)
        if pairs is None:
            raise MapError([*by_path.problems, *_difference(linen, nnx)]) from None
    return Expansion(pairs, {pair.linen[0][1:-1]: pair.nnx[0][:-1] for pair in pairs})


def _by_reads(linen: Description, nnx: Description) -> list[LeafPair] | None:
    linen_groups = _groups(linen.specs, linen.reads, linen=True)
    nnx_groups = _groups(nnx.specs, nnx.reads, linen=False)
    if linen_groups.keys() != nnx_groups.keys():
        return None
    pairs = []
    for signature, linen_modules in linen_groups.items():
        nnx_modules = nnx_groups[signature]
        if len(linen_modules) != len(nnx_modules):
            return None
        for before, after in zip(linen_modules, nnx_modules, strict=True):
            pairs += [LeafPair((path,), (after[name],)) for name, path in before.items()]
    return pairs


def _groups(
    specs: Mapping[Path, LeafSpec], reads: Iterable[Path], linen: bool
) -> dict[_Signature, list[dict[str, Path]]]:
    """Modules by signature, each as its leaves by name, in the order of their first read."""
    modules: dict[Path, dict[str, Path]] = defaultdict(dict)
    order = dict.fromkeys(path for path in reads if path in specs)
    for path in [*order, *(path for path in specs if path not in order)]:
        modules[path[1:-1] if linen else path[:-1]][path[-1]] = path
    groups: dict[_Signature, list[dict[str, Path]]] = defaultdict(list)
    for leaves in modules.values():
        groups[frozenset((name, specs[path]) for name, path in leaves.items())].append(leaves)
    return groups


def _difference(linen: Description, nnx: Description) -> list[str]:
    """What one side has more of, by signature."""
    before = _groups(linen.specs, linen.reads, linen=True)
    after = _groups(nnx.specs, nnx.reads, linen=False)
    lines = []
    for signature in sorted(before.keys() | after.keys(), key=str):
        counts = len(before.get(signature, [])), len(after.get(signature, []))
        if counts[0] != counts[1]:
            leaves = ", ".join(
                f"{name} {spec.dtype}{list(spec.shape)}" for name, spec in sorted(signature, key=str)
            )
            paths = [
                show(path)
                for group in (before, after)
                for m in group.get(signature, [])
                for path in m.values()
            ]
            where = f"; {', '.join(paths[:6])}"
            lines.append(f"{counts[0]} modules in Linen and {counts[1]} in NNX hold ({leaves}){where}")
    return lines
