"""Layers that `setup` makes and nothing ever calls: `self.dense2 = nn.Dense(4)`, left over from another version.

Linen creates no parameters for them, as no input comes to them. Nothing tells a constructor that input's sizes, and
parameters that the Linen model lacks would break checkpoints: such layers go.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef, Instance, Layer
from nnx_migrate.names.nodes import is_self
from nnx_migrate.sources.text import SourceText


def find_uncalled(analysis: ClassAnalysis) -> None:
    """Remember in `analysis.uncalled` the layers that only the statement of setup knows which makes them."""
    analysis.uncalled.clear()
    setup = analysis.cls.own_methods.get("setup")
    for name, slot in analysis.session.attributes.items() if setup is not None else ():
        site = slot.value.site if isinstance(slot.value, Instance) else None
        if site is None or not _is_unused(site):
            continue
        statement = setup.owner.module.parents.get(site.call) if setup is not None else None
        is_alone = isinstance(statement, ast.Assign) and len(statement.targets) == 1
        if setup is not None and is_alone and statement in setup.node.body and not _reads(analysis, name):
            analysis.uncalled[site] = statement


def whole_lines(source: SourceText, statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement, with comments above it that can't be about the lines below it, too.

    Of the blank lines on either side, one stays.
    """
    start, end = source.line_span(statement)
    below = (statement.end_lineno or statement.lineno) + 1
    text = source.line_text(below).strip()
    line = statement.lineno
    while source.line_text(line - 1).strip().startswith("#"):
        line -= 1
    if text and not text.startswith("#"):
        return start, end
    alone = not text and not source.line_text(line - 1).strip()
    return source.line_start(line), source.line_start(below + 1) if alone else end


def _is_unused(site: Site) -> bool:
    if site.calls or site.context or site.controls or site.called_by_others or site.is_held or site.lent:
        return False
    has_parameters = isinstance(site.target, ClassRef) or site.layer_name not in ("Dropout", "Sequential")
    plain = isinstance(site.target, Layer | ClassRef) and not site.lifts and not site.elements
    return site.entry == "setup" and has_parameters and plain


def _reads(analysis: ClassAnalysis, name: str) -> bool:
    """Whether anything may take the attribute from an instance of the class, or name it in a text."""
    return any(True for _ in _mentions(analysis, name))


def _mentions(analysis: ClassAnalysis, name: str) -> Iterator[ast.AST]:
    cls = analysis.cls
    family = [other for other in analysis.session.program if cls in other.mro or other in cls.mro]
    own = {node for other in family for node in ast.walk(other.node)}
    made = 0
    for node in own:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "setattr", "vars", "hasattr"):
                yield node
    for module in cls.program_project.matching(re.compile(rf"\b{name}\b"), name):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and node.value == name:
                yield node
            if not isinstance(node, ast.Attribute) or node.attr != name:
                continue
            is_made = node in own and is_self(node.value) and isinstance(node.ctx, ast.Store)
            made += is_made
            if made > 1 or not (is_made or (is_self(node.value) and node not in own)):
                yield node
