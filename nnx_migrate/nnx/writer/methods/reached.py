"""Which construction, call or helper each node of a method stands for."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TypeVar

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site
from nnx_migrate.linen.values import Closure, Instance

_Record = TypeVar("_Record")


def by_node(table: Mapping[tuple[Context, ast.AST], _Record]) -> dict[ast.AST, _Record]:
    """Records by node alone; a node that several contexts see differently is refused."""
    found: dict[ast.AST, _Record] = {}
    for (_, node), value in table.items():
        if node in found and found[node] is not value:
            raise Refuse(
                "unsupported-syntax", "code that is reached in several ways creates or calls modules", node
            )
        found[node] = value
    return found


def reached_sites(analysis: ClassAnalysis) -> dict[ast.AST, tuple[Site, ...]]:
    """The submodules that each call reaches: several only where a loop takes one after the other."""
    found: dict[ast.AST, dict[Context, Site]] = {}
    for (context, node), site in analysis.facts.calls.items():
        found.setdefault(node, {})[context] = site
    rounds = set(analysis.session.round_markers.values())
    for node, sites in found.items():
        paths = {tuple(step for step in context if step not in rounds) for context in sites}
        if len(paths) > 1 and len(set(sites.values())) > 1:
            raise Refuse(
                "unsupported-syntax", "code that is reached in several ways creates or calls modules", node
            )
    return {node: tuple(dict.fromkeys(sites.values())) for node, sites in found.items()}


def makers(analysis: ClassAnalysis) -> dict[ast.AST, Site]:
    """Calls of local functions that do nothing but create and return a module."""
    found: dict[ast.AST, Site] = {}
    for (context, call), closure in analysis.facts.functions.items():
        value = analysis.facts.values.get((context, call))
        if isinstance(value, Instance) and value.site.context == (*context, call) and not _is_method(closure):
            found[call] = value.site
    return found


def inside_maker(analysis: ClassAnalysis, site: Site) -> bool:
    """Whether a construction stands in a function of which only the result matters."""
    return bool(site.context) and site.context[-1] in makers(analysis)


def _is_method(closure: Closure) -> bool:
    return closure.env is None and closure.self_value is not None
