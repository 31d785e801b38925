"""What constructions give factory fields: layers, partials of layers, one of several of these, or classes."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.layers import LayerChoice, Maker, alternatives, is_late
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.values import Factory, Given
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Layer, Partial
from nnx_migrate.names.displays import display_behind
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.writer.construction.chosen_layers import construction, is_outside, key
from nnx_migrate.nnx.writer.construction.factories import factory_parts, given_to

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
    from nnx_migrate.nnx.writer.names import FileNames


def tell_layers(writer: ConstructionWriter, sites: Iterable[Site]) -> None:
    """Find out what makes the layers that conditions choose, and those that submodules make. Raises Refuse."""
    for site in sites:
        if isinstance(site.target, LayerChoice) or any(map(writer.known_factories.of, site.classes)):
            writer.parts(site)


def given_texts(
    writer: ConstructionWriter, site: Site, cls: LinenClass, fields: Iterable[str]
) -> dict[str, str | None]:
    """What a construction gives factory fields, also by dicts that it spreads: these are written with it, too."""
    found = {name: _given_text(writer, site, cls, name) for name in fields}
    for keyword in site.call.keywords:
        items = display_behind(writer.names.module, keyword.value) if keyword.arg is None else None
        for name, node in (items or {}).items():
            text = found.get(name)
            if text is not None and writer.renderer.layers.setdefault(node, text) != text:
                raise Refuse("unsupported-layer", f"`{name}` is made in different ways", site.call)
    return found


def _given_text(writer: ConstructionWriter, site: Site, cls: LinenClass, field: str) -> str | None:
    """The text of what a construction gives a factory field; None where it leaves it at its default.

    It has to be right for each layer that the class makes with the factory. Raises Refuse.
    """
    factory = writer.converted(cls).factories[field]
    given = given_to(writer, site, cls, factory)
    if given is None:
        return None
    source = writer.names.module.source
    if given.several and given.layers:
        return _one_of_several(writer, site, cls, factory, given)
    if given.classes:
        return _class_text(writer, site, factory, given)
    ((factory, _),) = factory.pairs(given)
    callee, *arguments = factory_parts(writer, cls, factory, given)
    if given.partial is None and given.variable:
        writer.renderer.layers[Layer(given.layer)] = callee
        return writer.renderer.choice(given.node, site.context)
    if given.partial is None:
        return callee
    if given.variable:
        _check_name(writer, given)
        writer.partials[given.partial] = [callee, *arguments]
        return source.segment(given.node)
    return f"{source.segment(given.partial.func)}({', '.join([callee, *arguments])})"


def _class_text(writer: ConstructionWriter, site: Site, factory: Factory, given: Given) -> str:
    """One of several classes of the project, or a partial of one, which keep their names. Raises Refuse.

    The partial no longer binds the mode flag that calls give.
    """
    if given.source is not None:
        return given.source.field
    choice, source = writer.renderer.choice, writer.names.module.source
    if not given.variable and (given.partial is None or not factory.flag):
        return writer.text_of(given.node) if given.several else choice(given.node, site.context)
    if given.partial is None or given.several:
        raise Refuse("unknown-module", f"the factory `{factory.field}` is given as a variable", site.call)
    keywords = [k for k in given.partial.keywords if k.arg != (factory.flag or None)]
    parts = [choice(given.partial.args[0], site.context)]
    parts += [f"{k.arg}={choice(k.value, site.context)}" for k in keywords]
    if not given.variable:
        return f"{source.segment(given.partial.func)}({', '.join(parts)})"
    _check_name(writer, given)
    writer.partials[given.partial] = parts
    return source.segment(given.node)


def _one_of_several(
    writer: ConstructionWriter, site: Site, cls: LinenClass, factory: Factory, given: Given
) -> str:
    """One of several layers that a condition chooses: the constructor takes the same choice. Raises Refuse."""
    if all(one.source is not None for one in given.several):
        return next(one.source.field for one in given.several if one.source is not None)
    choice = writer.analysis.facts.values.get((site.context, given.node))
    pairs = factory.pairs(given)
    if not isinstance(choice, LayerChoice) or len(pairs) < len(given.several):
        raise Refuse("unknown-module", f"the factory `{factory.field}` can't be followed", site.call)
    made = {m: s for own in _choices(writer) for m, s in alternatives(own).items()}
    for part, one in pairs:
        maker = next((m for m in choice.makers if _makes(m, one)), None)
        if maker is None:
            raise Refuse("unknown-module", f"the factory `{factory.field}` can't be followed", site.call)
        if is_late(maker, writer.analysis.facts.late_modes) != bool(part.flag):
            raise Refuse("mode-flag", f"the mode that `{factory.field}` binds", site.call)
        if isinstance(maker, Partial) and is_outside(writer, maker, site):
            _check_outside(writer, cls, part, one, maker, made.get(maker))
            continue
        callee, *arguments = factory_parts(writer, cls, part, one)
        text = callee
        if one.partial is not None and arguments:
            partial = writer.names.module.source.segment(one.partial.func)
            text = f"{partial}({', '.join([callee, *arguments])})"
        if writer.renderer.layers.setdefault(key(maker), text) != text:
            detail = f"the layers that `{factory.field}` may make are made in different ways"
            raise Refuse("unsupported-layer", detail, site.call)
    return writer.renderer.choice(given.node, site.context)


def _choices(writer: ConstructionWriter) -> list[Site]:
    return [site for site in writer.analysis.sites if isinstance(site.target, LayerChoice)]


def _makes(maker: Maker, given: Given) -> bool:
    """Whether a construction gives this maker."""
    if isinstance(maker, Partial):
        return maker.call is given.partial
    if not isinstance(maker, Layer) or given.partial is not None:
        return False
    return (maker.name, getattr(maker, "cls", None)) == given.kind


def _check_outside(
    writer: ConstructionWriter,
    cls: LinenClass,
    factory: Factory,
    given: Given,
    maker: Partial,
    own: Site | None,
) -> None:
    """Refuse what a function outside of the class binds, unless the class's own layers take the same of it."""
    module = maker.module
    if own is None or module is None:
        detail = f"`{factory.field}` comes from a function, and nothing else shows what that has to bind"
        raise Refuse("unknown-module", detail, given.node)
    early, _ = construction(writer, maker, own).split(given.bound)
    names = writer.names
    before = set(names.requests), set(names.helpers)
    _, *arguments = factory_parts(_Outside(writer, module), cls, factory, given)
    if module is not names.module:  # which needs the helpers itself
        names.requests &= before[0]
        names.helpers &= before[1]
    if arguments != [str(argument) for argument in early if argument.origin != "rngs"]:
        detail = f"the layers that `{factory.field}` makes need different arguments"
        raise Refuse("unsupported-layer", detail, given.node)


class _Outside:
    """A function outside of the class, which gives a factory to it; see `factories.Giver`."""

    def __init__(self, writer: ConstructionWriter, module: Module) -> None:
        self.names: FileNames = writer.names  # the function's own are not asked
        self.known_factories: Factories = writer.known_factories
        self.writer, self.module = writer, module

    def converted(self, cls: LinenClass, /) -> ClassConversion:
        """The conversion of a class."""
        return self.writer.converted(cls)

    def text_of(self, node: ast.AST, /) -> str:
        """An expression, which stays as it is."""
        return self.module.source.segment(node)


def _check_name(writer: ConstructionWriter, given: Given) -> None:
    """Refuse a local partial that has the name of a factory field which is read elsewhere, too."""
    assert isinstance(given.node, ast.Name) and given.partial is not None
    name = given.node.id
    if name not in writer.known_factories.of(writer.analysis.cls):
        return
    reads = [n for n in ast.walk(writer.analysis.cls.node) if isinstance(n, ast.Attribute) and n.attr == name]
    if reads != [given.partial.args[0]]:
        raise Refuse("name-clash", f"`{name}` is a local variable and a factory field", given.partial)
