"""Modules that are arguments of other modules: `Residual(PreNorm(Attention(dim)))`.

Whoever gets such a module calls it as its class tells, so only modules whose NNX call is the Linen call can be
handed on.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.layers import LayerChoice, alternatives, is_late
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site
from nnx_migrate.linen.values import Either, Instance, Layer, Maybe
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.construction.factories import given_flags
from nnx_migrate.nnx.writer.naming import holds_modules

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def check_handed(writer: ConstructionWriter, site: Site, node: ast.expr, context: Context) -> None:
    """Refuse an argument of `site`, met in `context`, that hands over modules in a way that can't be followed."""
    facts = writer.analysis.facts
    for inner in ast.walk(node):
        made = facts.sites.get((context, inner))
        if made is not None and made.parent_site is None:
            detail = f"`{site.target_name}` gets modules in an expression that can't be followed"
            raise Refuse("unknown-module", detail, node)
    value = facts.values.get((context, node))
    inside = value.value if isinstance(value, Maybe) else value
    modules = inside.values if isinstance(inside, Either) else (inside,)
    if any(isinstance(one, Instance) for one in modules):
        for one in modules:
            if isinstance(one, Instance):
                check_plain_call(writer, one.site)
    elif holds_modules(value):
        raise Refuse("unknown-module", f"`{site.target_name}` gets a list of modules", node)


def is_in_sequence(site: Site) -> bool:
    """Whether a module is written as an element of `nn.Sequential`, which calls it with one argument."""
    return site.parent_site is not None and site.parent_site.target == Layer("Sequential")


def check_plain_call(writer: ConstructionWriter, site: Site) -> None:
    """Refuse a module that others call if NNX's call differs from Linen's.

    In a sequence a mode flag stays an argument of the constructor; elsewhere the call has to give it.
    """
    if isinstance(site.target, Layer):
        differs = _layer_differs(writer, site)
    elif isinstance(site.target, LayerChoice):
        late = any(is_late(maker, writer.analysis.facts.late_modes) for maker in site.target.makers)
        layers = [one for one in alternatives(site).values() if isinstance(one.target, Layer)]
        differs = (
            late or any(_layer_differs(writer, one) for one in layers) or bool(given_flags(writer, site))
        )
    else:
        differs = bool(given_flags(writer, site))
    if differs:
        detail = f"`{site.target_name}`, which NNX calls in another way, is called by another module"
        raise Refuse("unknown-call", detail, site.call)


def _layer_differs(writer: ConstructionWriter, site: Site) -> bool:
    spec = LAYERS.get(f"flax.linen.{site.layer_name}")
    if spec is None:
        return True
    if spec.call.flag is not None:
        _, bound = writer.bound(site)
        return not is_in_sequence(site) or spec.call.flag not in bound.values
    renamed = {*spec.call.keywords, *spec.call.convert}
    by_position = max((len(call.args) for call in site.calls), default=1)
    return by_position > spec.call.nnx_positional or any(renamed & call.kwargs.keys() for call in site.calls)
