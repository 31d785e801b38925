"""Loops whose rounds are interpreted one by one: over submodules that are known one by one."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.dispatch import execute
from nnx_migrate.linen.interpreter.frame import Frame, Slot
from nnx_migrate.linen.interpreter.loops.elements import MAX_UNROLL, known_items
from nnx_migrate.linen.interpreter.statements.assignment import assign
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Instance, Iterated
from nnx_migrate.names.nodes import is_of_self


def unrollable(frame: Frame, statement: ast.For, iterable: Any) -> list[Any] | None:
    """The elements of an iterable where each round can be interpreted on its own.

    That is so in code of other modules, of which only the result matters, where the rounds take one submodule
    each of several, also by its number (`self.blocks[i]`), where a helper function fills a list by index, and where
    there is no round at all.
    """
    items = known_items(iterable)
    if items is None or len(items) > MAX_UNROLL:
        return None
    each = frame.foreign or _takes_modules(items) or (frame.outside and _stores_items(statement))
    each = each or _counts_modules(frame, statement)
    return items if each or not items else None


def _stores_items(statement: ast.For) -> bool:
    """Whether a loop stores items of containers: `inverse[j] = i`."""
    stored = (n for n in ast.walk(statement) if isinstance(n, ast.Subscript))
    return any(isinstance(node.ctx, ast.Store) for node in stored)


def _takes_modules(items: list[Any]) -> bool:
    """Whether submodules that are known one by one are among the items of a loop."""
    return bool(_sites_in(items))


def _counts_modules(frame: Frame, statement: ast.For) -> bool:
    """Whether the rounds of a loop take submodules that are known one by one by the loop's variable."""
    bound = {node.id for node in ast.walk(statement.target) if isinstance(node, ast.Name)}
    taken = [
        node.value
        for part in statement.body
        for node in ast.walk(part)
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.slice, ast.Name)
        and node.slice.id in bound
        and is_of_self(node.value)
    ]
    held = (frame.session.attributes.get(node.attr) for node in taken if isinstance(node, ast.Attribute))
    return any(slot is not None and _takes_modules([slot.value]) for slot in held)


def _sites_in(value: Any) -> list[Site]:
    if isinstance(value, tuple | list):
        return [site for item in value for site in _sites_in(item)]
    return [value.site] if isinstance(value, Instance) else []


def unroll(frame: Frame, statement: ast.For, items: list[Any]) -> None:
    """Interpret the rounds of a loop one by one."""
    outer = frame.context
    for index, item in enumerate(items):
        frame.context = (*outer, round_marker(frame, statement, index))
        bind_unnamed(frame, statement, item)
        before = frame.jumps
        frame.jumps = []
        execute(frame, statement.body)
        refuse_created(frame, statement)
        jumps, frame.jumps = frame.jumps, before
        frame.context = outer
        if jumps:
            if len(jumps) > 1 or not frame.ended:
                frame.env = {name: Slot(Unknown("a loop with several exits")) for name in frame.env}
            frame.ended = False
            if isinstance(jumps[-1][0], ast.Break):
                return
        if frame.ended:
            return
    execute(frame, statement.orelse)


def bind_unnamed(frame: Frame, statement: ast.For, item: Any) -> None:
    """Give the loop's variable its value, which is no name for one of several submodules."""
    nameless = [site for site in _sites_in(item) if not site.stored]
    assign(frame, statement.target, item, False, statement)
    for site in nameless:
        site.stored = ""


def parts_of(statement: ast.For, iterable: Any) -> tuple[Any, ...] | None:
    """The parts of a list of layers of which loops have made some, if each round goes to its end; None for others."""
    if isinstance(iterable, Iterated) and iterable.kind == "enumerate" and len(iterable.args) == 1:
        iterable = iterable.args[0]
    leaves = any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in ast.walk(statement))
    if not isinstance(iterable, MixedList) or leaves or statement.orelse:
        return None
    return iterable.items


def refuse_created(frame: Frame, statement: ast.For) -> None:
    """Modules that a round over other modules creates have no place in the constructor."""
    facts = frame.session.facts
    created = [*facts.sites, *facts.variables] if not frame.foreign else []
    for context, _ in created:
        if context[: len(frame.context)] == frame.context:
            raise Refuse("unsupported-syntax", "modules are created in a loop over other modules", statement)


def round_marker(frame: Frame, node: ast.AST, index: int) -> ast.AST:
    """A stand-in node that tells the rounds of an unrolled loop apart."""
    markers = frame.session.round_markers
    return markers.setdefault((node, index), ast.Pass())
