"""Dropout whose rate or axes only a call knows: made at its call, where it draws from a stream of the module.

`nn.Dropout(rate)(x, deterministic=...)` becomes `nnx.Dropout(rate)(x, deterministic=..., rngs=self.dropout_rng)`:
such a layer has no variables that a constructor would have to make.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site
from nnx_migrate.linen.values import Layer
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.layers import Refusal, rewritten_arguments, write_call, write_construction
from nnx_migrate.nnx.writer.construction.writer import RNGS, ConstructionWriter
from nnx_migrate.nnx.writer.naming import rng_attribute
from nnx_migrate.nnx.writer.text import one_line

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


def take_late_layers(analysis: ClassAnalysis, writer: ConstructionWriter) -> dict[ast.AST, Site]:
    """The layers that are made at their calls, by the node that makes them; the constructor doesn't see them."""
    facts = analysis.facts
    found: dict[ast.AST, dict[tuple[Context, ast.AST], Site]] = {}
    for key, site in facts.sites.items():
        found.setdefault(key[1], {})[key] = site
    late: dict[ast.AST, Site] = {}
    for node, sites in found.items():
        streams = {_stream(writer, site) for site in sites.values()}
        if len(streams) > 1 or None in streams:
            continue
        if all(_may_be_late(writer.names.module, site) for site in sites.values()) and any(
            _is_late(writer, site) for site in sites.values()
        ):
            late[node] = next(iter(sites.values()))
            facts.rng_calls.update(dict.fromkeys(sites, str(streams.pop())))
            for key, site in sites.items():
                del facts.sites[key]
                for place in [place for place, called in facts.calls.items() if called is site]:
                    del facts.calls[place]
    return late


def _stream(writer: ConstructionWriter, site: Site) -> str | None:
    """The name of the stream that a dropout layer draws from; None for other layers, and where it isn't known."""
    if site.target != Layer("Dropout"):
        return None
    try:
        spec, bound = writer.bound(site)
    except Refuse:
        return None
    named = bound.values.get("rng_collection")
    if named is None:
        return str(spec.defaults["rng_collection"])
    return named.value if isinstance(named, ast.Constant) and isinstance(named.value, str) else None


def _may_be_late(module: Module, site: Site) -> bool:
    """Whether the code calls the layer where it makes it, in a method of the class."""
    user = module.parents.get(site.call)
    is_called = isinstance(user, ast.Call) and user.func is site.call
    is_plain = not (site.lifts or site.is_held or site.foreign or site.partials or site.lent)
    return is_called and is_plain and "setup" not in (site.method, site.entry)


def _is_late(writer: ConstructionWriter, site: Site) -> bool:
    """Whether the constructor can't write the layer, or a statement that it would have to repeat for it."""
    renderer = writer.renderer
    before = set(renderer.needed), set(renderer.moved), set(renderer.asked)
    try:
        writer.parts(site)
        written = set(before[1])
        while more := renderer.moved - written:
            written |= more
            for statement in more:
                renderer.text(statement, site.context)
    except Refuse as refusal:
        return refusal.reason == "dynamic-construction"
    finally:
        renderer.needed, renderer.moved, renderer.asked = before
    return False


class LateLayers:
    """The calls of such layers in one method."""

    def __init__(self, editor: BodyEditor, sites: Mapping[ast.AST, Site]) -> None:
        self.editor, self.sites = editor, sites
        self.writer, self.names = editor.writer, editor.names

    def replacement(self, node: ast.AST) -> str | None:
        """The text of the call of a late layer; None for any other node. Raises Refuse."""
        if isinstance(node, ast.Call) and node.func in self.sites:
            return self._call(node, self.sites[node.func])
        return None

    def _call(self, call: ast.Call, site: Site) -> str:
        spec, bound = self.writer.bound(site)
        names, text = self.names, self.editor.text
        rewrite = write_call(
            spec, bound, call, text, nnx=names.nnx(), judge=names.judge(), helper=names.helper
        )
        if isinstance(rewrite, Refusal):
            reason = "mode-flag" if rewrite.code == "missing-mode-flag" else "unsupported-layer"
            raise Refuse(reason, rewrite.reason, call)
        arguments = [one_line(argument) for argument in rewritten_arguments(call, rewrite, text)]
        if not any(argument.startswith(f"{RNGS}=") for argument in arguments):
            stream = rng_attribute(str(_stream(self.writer, site)))
            arguments.append(f"{RNGS}=self.{stream}")
        return self.editor.calls.call_text(call, arguments, self._construction(site))

    def _construction(self, site: Site) -> str:
        spec, bound = self.writer.bound(site)
        written = write_construction(
            spec,
            bound,
            {},
            nnx=self.names.nnx(),
            rngs=RNGS,
            segment=self.editor.text,
            judge=self.names.judge(),
            helper=self.names.helper,
        )
        if isinstance(written, Refusal):
            raise Refuse("unsupported-layer", written.reason, site.call)
        arguments = [one_line(str(a)) for a in written.arguments if a.parameter != RNGS]
        return f"{written.callee}({', '.join(arguments)})"
