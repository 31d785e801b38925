"""What functions create that a compact method calls: in the constructor it stands where the call was."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.functions import ChosenFunction
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.values import Closure
from nnx_migrate.nnx.writer.residual.assigned import check_helper_names
from nnx_migrate.nnx.writer.residual.nodes import Block, Node, align, complete, within

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.residual.builder import Residual

Sites = Sequence[Site | VariableSite]


def called(residual: Residual, call: ast.AST, sites: Sites, statement: ast.stmt) -> list[Node]:
    """What a call in `statement` creates, under the conditional expressions around it. Raises Refuse."""
    facts = residual.analysis.facts
    chosen, closure = (table.get((residual.context, call)) for table in (facts.chosen, facts.functions))
    context = (*residual.context, call)
    if isinstance(chosen, ChosenFunction):
        nodes, functions = _of_either(residual, chosen, context, sites), chosen.functions
    elif isinstance(closure, Closure):
        nodes, functions = _of(residual, closure, context, sites), (closure,)
    else:
        raise Refuse("unsupported-syntax", "a module is created in a function that can't be followed", call)
    inner = {node for function in functions for node in ast.walk(function.node)}
    controls = [c for c in sites[0].controls if within(c, statement) and c.node not in inner]
    for control in reversed(controls):
        if not isinstance(control.node, ast.IfExp):
            detail = "a helper that creates modules is called in a comprehension"
            raise Refuse("unsupported-syntax", detail, call)
        header = residual.condition(control.node.test, control.branch == "orelse", sites)
        other: list[Node] = []
        align(nodes, other)
        nodes = [Block(f"if {header}:", nodes, other)] if header else nodes
    if any(site.context[: len(context) + bool(chosen)] in residual.writer.handing_over for site in sites):
        complete(nodes)
    return nodes


def _of_either(
    residual: Residual, function: Closure | ChosenFunction, context: Context, sites: Sites
) -> list[Node]:
    """What one of several functions creates, under the conditions that choose it."""
    if isinstance(function, Closure):
        step = (*context, function.node)
        own = [site for site in sites if site.context[: len(step)] == step]
        return _of(residual, function, step, own) if own else []
    body = _of_either(residual, function.body, context, sites)
    orelse = _of_either(residual, function.orelse, context, sites)
    align(body, orelse)
    header = residual.condition(function.statement.test, False, sites, context=function.context)
    if header is None:
        return [*body, *orelse]
    return [Block(f"if {header}:", body, orelse)] if body or orelse else []


def _of(residual: Residual, closure: Closure, context: Context, sites: Sites) -> list[Node]:
    """What a function creates."""
    node = closure.node
    if closure.self_value is not None and closure.module is not residual.writer.names.module:
        raise Refuse("unsupported-syntax", "a module is created in a method of another file", context[-1])
    inner = residual.below(context)
    for site in sites:
        inner.sites.setdefault(id(inner.statement_of(site)), []).append(site)
    if isinstance(node, ast.Lambda):
        return [made for site in sites for made in inner.wrapped(site, node)]
    nodes = inner.block(node.body)
    check_helper_names(residual.analysis, node, residual.renderer.needed, context[-1])
    return nodes
