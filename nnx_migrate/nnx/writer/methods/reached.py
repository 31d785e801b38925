"""Which construction, call or helper each node of a method stands for."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.interpreter.calls.forwarded import only_spread
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site
from nnx_migrate.linen.values import Closure, Either, Instance

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


def reached_sites(
    analysis: ClassAnalysis,
    calls: Mapping[tuple[Context, ast.AST], Site],
    elsewhere: Collection[Site] = (),
) -> dict[ast.AST, tuple[Site, ...]]:
    """The submodules that each call reaches: several only where a loop takes one after the other.

    `elsewhere` are submodules that are called outside of the class.
    """
    found: dict[ast.AST, dict[Context, Site]] = {}
    for (context, node), site in calls.items():
        if site not in elsewhere:
            found.setdefault(node, {})[context] = site
    rounds = set(analysis.session.round_markers.values())
    for node, sites in found.items():
        paths: dict[Context, list[Site]] = {}
        for context, site in sites.items():
            paths.setdefault(tuple(step for step in context if step not in rounds), []).append(site)
        first, *others = paths.values()
        if len(set(sites.values())) > 1 and any(other != first for other in others):
            raise Refuse(
                "unsupported-syntax", "code that is reached in several ways creates or calls modules", node
            )
    return {node: tuple(dict.fromkeys(sites.values())) for node, sites in found.items()}


def makers(analysis: ClassAnalysis) -> dict[ast.AST, Site]:
    """Calls, in the class, of functions that do nothing but create and return a module."""
    return {
        call: site
        for (context, call), site in made_by_calls(analysis).items()
        if not any(is_outside(outer) for outer in closures(analysis, context))
    }


def made_by_calls(analysis: ClassAnalysis) -> dict[tuple[Context, ast.AST], Site]:
    """Such calls wherever they stand, with the calls around them."""
    found: dict[tuple[Context, ast.AST], Site] = {}
    for (context, call), closure in analysis.facts.functions.items():
        value = analysis.facts.values.get((context, call))
        if call in analysis.setup_helpers:
            continue
        if not isinstance(value, Instance) or (_is_method(closure) and value.site.entry != "setup"):
            continue
        if is_created_in(analysis, value.site, (*context, call)):
            found[context, call] = value.site
    return found


def choosers(analysis: ClassAnalysis) -> dict[ast.AST, tuple[Site, ...]]:
    """Calls in `setup` of functions that do nothing but choose which of several modules they create and return."""
    found: dict[ast.AST, tuple[Site, ...]] = {}
    for (context, call), closure in analysis.facts.functions.items():
        value = analysis.facts.values.get((context, call))
        if (
            context
            or call in analysis.setup_helpers
            or not isinstance(value, Either)
            or not _only_chooses(closure.node)
        ):
            continue
        sites = tuple(one.site for one in value.values if isinstance(one, Instance))
        if len(sites) == len(value.values) and all(_is_of_setup(site, call) for site in sites):
            found[call] = sites
    return found


def _is_of_setup(site: Site, call: ast.AST) -> bool:
    return site.entry == "setup" and site.context == (call,) and not site.loops


def _only_chooses(function: ast.AST) -> bool:
    """Whether conditions decide what a function returns, and nothing else is in it."""
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return False
    taken = [one for one in (function.args.vararg, function.args.kwarg) if one is not None]
    return all(only_spread(function, one.arg) for one in taken) and all(map(_is_choice, function.body))


def _is_choice(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return all(map(_is_choice, [*statement.body, *statement.orelse]))
    if isinstance(statement, ast.Return):
        return isinstance(statement.value, ast.Call)
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Raise) or is_text


def is_created_in(analysis: ClassAnalysis, site: Site, context: Context) -> bool:
    """Whether a call creates a module, by calling functions that return it, if not by itself."""
    inner = range(len(context), len(site.context))
    values = (analysis.facts.values.get((site.context[:i], site.context[i])) for i in inner)
    handed_on = all(isinstance(value, Instance) and value.site is site for value in values)
    return site.context[: len(context)] == context and handed_on


def inside_maker(analysis: ClassAnalysis, site: Site) -> bool:
    """Whether a construction, or what it is an argument of, stands in a function of which only the result matters."""
    made = makers(analysis)
    if any(made.get(step) in (site, site.outermost) for step in site.context):
        return True
    return any(site.outermost in sites for sites in choosers(analysis).values())


def is_outside(closure: Closure) -> bool:
    """Whether a function stands outside of the class, so that the class's conversion can't change it."""
    return closure.env is None and closure.self_value is None


def closures(analysis: ClassAnalysis, context: Context) -> Iterator[Closure]:
    """The functions through whose calls the interpreter came to a context."""
    for level, step in enumerate(context):
        closure = analysis.facts.functions.get((context[:level], step))
        if closure is not None:
            yield closure


def _is_method(closure: Closure) -> bool:
    return closure.env is None and closure.self_value is not None
