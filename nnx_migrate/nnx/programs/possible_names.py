"""Which names Linen may give the submodules of a class where a condition, a table or a field chooses their class."""

from __future__ import annotations

from collections.abc import Iterator

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.chosen.layers import LayerChoice
from nnx_migrate.linen.chosen.layers import alternatives as layers_of
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice, ClassRef, Layer


def possible_prefixes(analysis: ClassAnalysis) -> tuple[str, ...] | None:
    """What such names may begin with: the classes of all submodules; None where one of these isn't known."""
    found: set[str] = set()
    for site in analysis.sites:
        if not isinstance(site.target, Layer | ClassRef | ClassChoice):
            return None
        lifted = "".join(lift.prefix for lift in site.lifts)
        found |= {prefix + name for name in _class_names(site) for prefix in ("", lifted)}
    return tuple(sorted(found))


def _class_names(site: Site) -> Iterator[str]:
    if isinstance(site.target, LayerChoice):
        yield from (one.target_name for one in layers_of(site).values())
    elif isinstance(site.target, ClassChoice):
        yield from (cls.scope_name for cls in site.classes)
    else:
        yield site.target_name
