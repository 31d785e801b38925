"""The construction of one of several built-in layers that a condition or a table chooses.

The constructor takes the same choice between NNX's layers and partials of these; sizes and `rngs` stand behind it:

    norm = partial(nnx.BatchNorm, momentum=0.9) if self.norm == "batch" else nnx.LayerNorm
    self.norm_0 = norm(self.features, rngs=rngs)
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.late_calls import calls_choosing
from nnx_migrate.linen.chosen.layers import Maker, alternatives, class_made, is_late
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories.values import Factory
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import DerivedLayer, Partial
from nnx_migrate.nnx.layers import Construction
from nnx_migrate.nnx.writer.construction.factories import check_plain, keeps_flag, late_arguments
from nnx_migrate.nnx.writer.construction.mixed_choices import of_class, told_apart

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def chosen_layer(writer: ConstructionWriter, site: Site) -> tuple[str, list[str]]:
    """Callee and argument texts, which have to be the same for each layer. Raises Refuse."""
    if site.partials or site.lifts or "**" in site.kwargs:
        raise Refuse(
            "unknown-module", f"`{site.label}` is one of several layers, with arguments of its own", site.call
        )
    late: list[str] | None = None
    classes: dict[Maker, tuple[str, ...]] = {}
    for maker, one in alternatives(site).items():
        cls = class_made(maker)
        if cls is not None:
            classes[maker] = of_class(writer, site, maker, cls)
            continue
        if isinstance(maker, Partial) and maker.call in writer.factories:
            text, arguments = "", _given(writer, writer.factories[maker.call], one)
        else:
            text, arguments = _parts(writer, maker, one)
        if late is not None and arguments != late:
            detail = f"the layers that `{site.label}` may be need different arguments"
            raise Refuse("unsupported-layer", detail, site.call)
        late = arguments
        if writer.renderer.layers.setdefault(key(maker), text) != text:
            detail = f"the layers that `{site.label}` may be are made in different ways"
            raise Refuse("unsupported-layer", detail, site.call)
    return told_apart(writer, site, late or [], classes)


def _given(writer: ConstructionWriter, factory: Factory, site: Site) -> list[str]:
    """The arguments that the construction gives to one of the layers that a field of the class may make."""
    written = writer.layer(site, keep_flag=keeps_flag(factory))
    check_plain(written, factory, writer.names.nnx(), site.call)
    return late_arguments(written, factory, site.call, writer.late_extras(site))


def key(maker: Maker) -> ast.AST | Maker:
    """What the renderer knows a maker by."""
    return maker.call if isinstance(maker, Partial) else maker


def _parts(writer: ConstructionWriter, maker: Maker, site: Site) -> tuple[str, list[str]]:
    """What makes a layer, and the arguments that the construction gives to each of several layers."""
    call = maker.call if isinstance(maker, Partial) else None
    bound = frozenset(k.arg or "" for k in call.keywords) if call is not None else frozenset()
    written = construction(writer, maker, site)
    early, late = written.split(bound)
    given = [str(argument) for argument in early if argument.origin != "rngs"]
    rest = [*map(str, late), *(str(argument) for argument in early if argument.origin == "rngs")]
    again = bound & {k.arg for k in site.call.keywords}
    if again or any(argument.name == "**" for argument in written.arguments) or (given and call is None):
        detail = f"`{site.label}` is one of several layers, made in unusual ways"
        raise Refuse("unsupported-layer", detail, site.call)
    callee = written.callee
    if isinstance(site.target, DerivedLayer):
        named = writer.derived(site, site.target, callee)
        callee = named if call is not None else visible(writer, site.target.cls, site)
    if call is None or not given:
        return callee, rest
    partial = writer.names.home_of(call).source.segment(call.func)
    return f"{partial}({', '.join([callee, *given])})", rest


def visible(writer: ConstructionWriter, cls: LinenClass, site: Site) -> str:
    """The name of a class of the project, if the file knows it under its own."""
    module = writer.names.module
    if writer.names.project.resolve_name(cls.name, module.scopes.module, module) != cls.qualified:
        raise Refuse("unknown-module", f"`{cls.name}` has another name here", site.call)
    return cls.name


def construction(writer: ConstructionWriter, maker: Maker, site: Site) -> Construction:
    """The construction of one of several layers; what a function outside of the class binds stands there as it is."""
    late = is_late(maker, writer.analysis.facts.late_modes)
    if not isinstance(maker, Partial) or maker.module is None or not is_outside(writer, maker, site):
        return writer.layer(site, keep_flag=not late)
    if isinstance(site.target, DerivedLayer):
        detail = "a function outside of the class chooses a class of the project"
        raise Refuse("unsupported-layer", detail, site.call)
    if late and not calls_choosing(writer.analysis.facts, maker.call):
        raise Refuse(
            "mode-flag", "a function outside of the class binds a mode that only calls know", site.call
        )
    inside, source = set(ast.walk(maker.call)), maker.module.source

    def segment(node: ast.AST) -> str:
        return source.segment(node) if node in inside else writer.renderer.argument(node, site.context)

    names = writer.names
    before = set(names.requests), set(names.helpers)
    written = writer.layer(site, keep_flag=not late, segment=segment)
    if maker.module is not names.module:  # which needs the helpers itself
        names.requests &= before[0]
        names.helpers &= before[1]
    return written


def is_outside(writer: ConstructionWriter, maker: Partial, site: Site) -> bool:
    """Whether a partial stands outside of the class, and of the functions whose layers the constructor makes."""
    functions = writer.analysis.facts.functions
    places = [(site.context[:level], call) for level, call in enumerate(site.context)]
    followed = [functions[place].node for place in places if place in functions]
    around = [*(cls.node for cls in writer.analysis.cls.mro), *followed]
    return all(maker.call not in set(ast.walk(node)) for node in around)
