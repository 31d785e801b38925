"""The construction of one of several built-in layers that a condition or a table chooses.

The constructor takes the same choice between NNX's layers and partials of these; sizes and `rngs` stand behind it:

    norm = partial(nnx.BatchNorm, momentum=0.9) if self.norm == "batch" else nnx.LayerNorm
    self.norm_0 = norm(self.features, rngs=rngs)
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen_layers import Maker, alternatives, is_late
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Layer, Partial

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def chosen_layer(writer: ConstructionWriter, site: Site) -> tuple[str, list[str]]:
    """Callee and argument texts, which have to be the same for each layer. Raises Refuse."""
    if site.partials or site.lifts or "**" in site.kwargs:
        raise Refuse(
            "unknown-module", f"`{site.label}` is one of several layers, with arguments of its own", site.call
        )
    late: list[str] | None = None
    for maker, one in alternatives(site).items():
        text, arguments = _parts(writer, maker, one)
        if late is not None and arguments != late:
            detail = f"the layers that `{site.label}` may be need different arguments"
            raise Refuse("unsupported-layer", detail, site.call)
        late = arguments
        if writer.renderer.layers.setdefault(_key(maker), text) != text:
            detail = f"the layers that `{site.label}` may be are made in different ways"
            raise Refuse("unsupported-layer", detail, site.call)
    return writer.callee(site), late or []


def _key(maker: Maker) -> ast.AST | Layer:
    return maker.call if isinstance(maker, Partial) else maker


def _parts(writer: ConstructionWriter, maker: Maker, site: Site) -> tuple[str, list[str]]:
    """What makes a layer, and the arguments that the construction gives to each of several layers."""
    facts = writer.analysis.facts
    written = writer.layer(site, keep_flag=not is_late(maker, facts.late_modes))
    call = maker.call if isinstance(maker, Partial) else None
    bound = frozenset(k.arg or "" for k in call.keywords) if call is not None else frozenset()
    early, late = written.split(bound)
    given = [str(argument) for argument in early if argument.origin != "rngs"]
    rest = [*map(str, late), *(str(argument) for argument in early if argument.origin == "rngs")]
    again = bound & {k.arg for k in site.call.keywords}
    if again or any(argument.name == "**" for argument in written.arguments) or (given and call is None):
        raise Refuse(
            "unsupported-layer", f"`{site.label}` is one of several layers, made in unusual ways", site.call
        )
    if call is None or not given:
        return written.callee, rest
    partial = writer.names.home_of(call).source.segment(call.func)
    return f"{partial}({', '.join([written.callee, *given])})", rest
