"""Modules of which there is always one: what `if` and `else` create in the same place of a network."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence

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


def counted_alike(sites: Iterable[Site]) -> dict[Site, Site]:
    """Modules of an `else` that have the class, the count and so the name of one that `if` makes, with that one.

    Nothing but the condition decides about modules of this class, so that both branches make them one after the other.
    """
    found: dict[Site, Site] = {}
    under: dict[tuple[ast.AST, str], list[Site]] = {}
    for site in sites:
        for control in site.controls:
            if isinstance(control.node, ast.If):
                under.setdefault((control.node, site.linen_class), []).append(site)
    chosen = {c.node for s in sites if isinstance(s.target, ClassChoice) for c in s.controls}
    for (node, _), members in under.items():
        if node in chosen or not _are_of_branches(node, members):
            continue
        branches = [[s for s in members if s.controls[-1].branch == name] for name in ("body", "orelse")]
        for one, other in zip(*branches, strict=False):
            if one.target_name == other.target_name and one.stored == other.stored:
                found[other] = one
    return found


def _are_of_branches(node: ast.AST, sites: Sequence[Site]) -> bool:
    """Whether modules stand in the branches of an `if` themselves, which is in no loop."""
    first = sites[0]
    return all(
        site.controls[-1].node is node
        and site.controls[:-1] == first.controls[:-1]
        and not site.loops
        and (site.context, site.method, site.owner) == (first.context, first.method, first.owner)
        and _is_plain(site)
        for site in sites
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


def is_always_made(one: Site, other: Site) -> bool:
    """Whether one of two modules that share an attribute is made whatever a condition says."""
    return are_one_each_round(one, other) or (
        len(one.controls) == len(other.controls) == 1 and counted_alike([one, other]).get(other) is one
    )


def shared_lists(sites: Iterable[Site]) -> set[str]:
    """The attributes that hold what two branches make."""
    known = list(sites)
    return {
        one.attribute
        for one, other in itertools.combinations(known, 2)
        if one.attribute == other.attribute and are_one_each_round(one, other)
    }
