"""Linen's numbers for unnamed modules (`Dense_0`, `Dense_1`), as far as conditions leave them certain.

Linen counts modules of a class as they are made. What stands under one `if` is there together, and what its other
branch makes isn't there at all; so a module has the same number wherever it exists, if each module before it is
either surely made where it is made, or surely not.
"""

from __future__ import annotations

from collections.abc import Iterable

from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice


def certain_numbers(sites: Iterable[Site]) -> dict[Site, int]:
    """The numbers of modules that have no names of their own, in the order in which they are made."""
    known = list(sites)
    found: dict[Site, int] = {}
    for place, site in enumerate(known):
        if isinstance(site.target, ClassChoice):
            break  # any class may be counted from here on
        if site.loops or site.elements or site.lifted_class:
            continue
        before = [_is_there(other, site) for other in known[:place] if _may_count(other, site.linen_class)]
        if None not in before:
            found[site] = sum(1 for there in before if there)
    return found


def _may_count(site: Site, prefix: str) -> bool:
    """Whether Linen may count a module under the name of a class."""
    return prefix in (site.linen_class, site.lifted_class) or bool(site.elements)


def _is_there(other: Site, site: Site) -> bool | None:
    """Whether a module that is made earlier is there wherever `site` is; None where that isn't certain."""
    if other.loops or other.elements or other.lifted_class:
        return None
    if not other.controls:
        return True
    if other.context != site.context:
        return None  # a function's `if` may go another way in another call
    if all(control in site.controls for control in other.controls):
        return True
    if any(
        one.node is two.node and {one.branch, two.branch} == {"body", "orelse"}
        for one in other.controls
        for two in site.controls
    ):
        return False
    return None
