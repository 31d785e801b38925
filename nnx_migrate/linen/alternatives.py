"""Modules of which each round of a loop makes one: what `if` and `else` create in the same place of a network."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable

from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice


def are_one_each_round(one: Site, other: Site) -> bool:
    """Whether every round of some loops makes one of two unnamed modules of one class, and nothing else decides.

    Linen counts them together, as one module per round.
    """
    *around, last = one.controls or (None,)
    *others, last_of_other = other.controls or (None,)
    if last is None or last_of_other is None or not around or around != others:
        return False
    return (
        all(control.is_loop for control in around)
        and isinstance(last.node, ast.If)  # a conditional expression becomes two statements
        and last.node is last_of_other.node
        and {last.branch, last_of_other.branch} == {"body", "orelse"}
        and _is_plain(one)
        and _is_plain(other)
        and one.linen_class == other.linen_class
        and one.target_name == other.target_name
        and one.stored == other.stored
    )


def _is_plain(site: Site) -> bool:
    """Whether Linen gives a module its name, and nothing but the class's loop holds it."""
    return (
        site.target_name != "Dropout"  # it may be made whatever a condition says
        and site.name is None
        and site.kwargs.get("name") is None
        and site.method != "setup"
        and not isinstance(site.target, ClassChoice)
        and not (site.is_held or site.parent_site or site.elements or site.container or site.place)
        and not (site.lifted_class or site.carry_only or site.foreign or site.bridged)
    )


def shared_lists(sites: Iterable[Site]) -> set[str]:
    """The attributes that hold what two branches make."""
    known = list(sites)
    return {
        one.attribute
        for one, other in itertools.combinations(known, 2)
        if one.attribute == other.attribute and are_one_each_round(one, other)
    }
