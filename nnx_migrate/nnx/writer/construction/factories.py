"""Factories that one class hands to another: `conv = partial(nn.Conv, use_bias=False)`, given as a field.

Fields that hold factories are parameters of the constructor and no attributes: only constructions read them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.chosen.layers import LayerChoice, alternatives
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.values import Factory, Given
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Layer
from nnx_migrate.names.nodes import is_none
from nnx_migrate.nnx.layers import LAYERS, Construction, Refusal, bind, bind_partial, needed_sizes
from nnx_migrate.nnx.layers import write_construction as write_layer
from nnx_migrate.nnx.writer.construction.merged_flags import merged_flags

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
    from nnx_migrate.nnx.writer.names import FileNames

#: Fields of layers that stand for themselves in NNX, too: a call may give them once more, as in Linen.
_REBOUND = frozenset(
    {"use_bias", "use_scale", "kernel_init", "bias_init", "scale_init", "padding", "strides"}
)


class Giver(Protocol):
    """The code that gives a factory: a class's constructor, or a program."""

    names: FileNames
    known_factories: Factories

    def converted(self, cls: LinenClass, /) -> ClassConversion:
        """The conversion of a class."""

    def text_of(self, node: ast.AST, /) -> str:
        """An expression as it is written there."""


def given_flags(writer: ConstructionWriter, site: Site) -> dict[str, ast.expr]:
    """What the factories given to a submodule bind as its mode flags, and those that its call merges. Raises Refuse."""
    if writer.is_bridged(site):
        return {}
    found: dict[str, ast.expr] = merged_flags(writer, site)
    flags = [
        {f.flag: _flag(writer, site, cls, f) for f in writer.converted(cls).factories.values() if f.flag}
        for cls in site.classes
    ]
    if any(flags) and any(f.keys() != flags[0].keys() for f in flags):
        raise Refuse("mode-flag", f"only some classes of `{site.target_name}` have a mode flag", site.call)
    for flag, value in (item for values in flags for item in values.items()):
        if ast.dump(found.setdefault(flag, value)) != ast.dump(value):
            detail = f"the factories given to `{site.target_name}` bind different `{flag}`"
            raise Refuse("mode-flag", detail, site.call)
    return found


def _flag(writer: ConstructionWriter, site: Site, cls: LinenClass, factory: Factory) -> ast.expr:
    given = given_to(writer, site, cls, factory)
    pairs = factory.pairs(given) if given is not None else []
    values = [value for one, part in pairs if one.flag and (value := part.flag(one.flag)) is not None]
    if not values:
        raise Refuse("mode-flag", f"`{factory.field}` of `{cls.name}` has no `{factory.flag}`", site.call)
    if any(ast.dump(value) != ast.dump(values[0]) for value in values):
        raise Refuse("mode-flag", f"`{factory.field}` gets layers of different modes", site.call)
    return values[0]


def given_to(writer: ConstructionWriter, site: Site, cls: LinenClass, factory: Factory) -> Given | None:
    """What a construction gives a factory field, None where it leaves it at its default. Raises Refuse."""
    partials = local_partials(site)
    given = writer.known_factories.given(cls, factory.field, writer.names.module, site.call, partials or ())
    keywords = [k for call in (site.call, *(partials or ())) for k in call.keywords]
    named = {k.arg for k in keywords if not is_none(k.value)}
    left_out = given is None and factory.default and factory.field not in named
    if (given is None and not left_out) or site.context or partials is None:
        raise Refuse("unknown-module", f"the factory `{factory.field}` can't be followed", site.call)
    return given


def local_partials(site: Site) -> tuple[ast.Call, ...] | None:
    """The partial of its class that a submodule is made by: one of keywords alone, in the code of the method.

    None if there are others.
    """
    if not site.partials:
        return ()
    partial, *others = site.partials
    module, call = partial.module, partial.call
    named = [k.arg for k in (*call.keywords, *site.call.keywords)]
    if others or module is None or len(call.args) != 1 or None in named or len(set(named)) < len(named):
        return None
    method = module.enclosing(call, ast.FunctionDef)
    return (call,) if method is not None and method is module.enclosing(site.call, ast.FunctionDef) else None


def factory_parts(
    giver: Giver, cls: LinenClass, factory: Factory, given: Given, analysis: ClassAnalysis | None = None
) -> list[str]:
    """What makes the layers (`nnx.Conv`), and the arguments that a partial binds. Raises Refuse.

    `analysis` is that of the class where it isn't converted yet.
    """
    field = factory.field
    if given.kind != (factory.layer, factory.derived):
        raise Refuse("unsupported-layer", f"`nn.{given.layer}` is given as `{field}`", given.node)
    found: list[list[str]] = []
    for made in _made(giver, cls, factory, analysis):
        construction = _complete(giver, factory, given, made)
        early, _ = construction.split(given.bound)
        unbound = given.source.bound if given.source is not None else frozenset()
        own = own_extras(factory, made.call, giver.names)
        early = tuple(a for a in early if a.origin != "extra" or a.parameter not in own)
        texts = [str(a) for a in early if a.origin != "rngs" and a.field not in unbound]
        found.append([construction.callee, *texts])
    if any(arguments != found[0] for arguments in found):
        detail = f"the layers that `{field}` makes need different arguments"
        raise Refuse("unsupported-layer", detail, given.node)
    spec = LAYERS[f"flax.linen.{factory.layer}"]
    stock = [f"{giver.names.nnx()}.{(spec.nnx or '').rpartition('.')[2]}"]
    callee, *arguments = found[0] if found else stock
    if given.source is not None:
        callee = given.source.field
    elif given.derived is not None:
        giver.converted(given.derived)
        named = given.partial.args[0] if given.partial is not None else given.node
        callee = giver.names.written(named, lambda _: None)
    if given.partial is None and given.source is not None:
        return [callee]  # where its own field comes from, they are bound for all that is made of it
    if given.partial is None and arguments:
        raise Refuse("unsupported-layer", f"what `{field}` makes needs arguments of its own", given.node)
    if given.partial is not None and not found and given.partial.keywords:
        raise Refuse("unknown-module", f"nothing shows what `{field}` makes", given.node)
    return [callee, *arguments]


def _made(
    giver: Giver, cls: LinenClass, factory: Factory, analysis: ClassAnalysis | None = None
) -> Iterator[Site]:
    """The layers that a class makes with a factory, and those of the submodules that it hands it on to."""
    analysis = analysis if analysis is not None else giver.converted(cls).analysis
    assert analysis is not None
    for site in analysis.sites:
        chosen = alternatives(site).values() if isinstance(site.target, LayerChoice) else (site,)
        for one in chosen:
            if any(p.call is factory.value.call for p in one.partials):
                yield one
        for child in site.classes if not isinstance(site.target, Layer) else ():
            for inner in giver.converted(child).factories.values():
                partials = local_partials(site) or ()
                given = giver.known_factories.given(child, inner.field, cls.module, site.call, partials)
                for part, from_field in inner.pairs(given) if given is not None else ():
                    if from_field.source is factory and child is not cls:
                        yield from _made(giver, child, part)


def own_partial(writer: ConstructionWriter, site: Site) -> ast.Call | None:
    """The local partial that a layer is constructed with, if the constructor has that variable, too."""
    last = site.partials[-1].call if site.partials else None
    return last if last in writer.partials and isinstance(site.call.func, ast.Name) else None


def _complete(giver: Giver, factory: Factory, given: Given, made: Site) -> Construction:
    """One layer of the class as if it were constructed here. Sizes don't matter for the partial."""
    spec = LAYERS[f"flax.linen.{factory.layer}"]
    names = giver.names
    parts = set(ast.walk(given.partial)) if given.partial is not None else set()

    def text(node: ast.AST) -> str:
        return giver.text_of(node) if node in parts else ast.unparse(node)

    base = bind_partial(spec, given.source.value.call) if given.source is not None else None
    if given.partial is not None and not isinstance(base, Refusal):
        base = bind_partial(spec, given.partial, base=base)
    again = rebound(made.call, factory)
    others = [k for k in made.call.keywords if k.arg not in again]
    call = ast.copy_location(ast.Call(made.call.func, made.call.args, others), made.call)
    bound = base if isinstance(base, Refusal) else bind(spec, call, base=base)
    needed = bound if isinstance(bound, Refusal) else needed_sizes(spec, bound, names.judge())
    if isinstance(bound, Refusal) or isinstance(needed, Refusal):
        raise Refuse("unsupported-layer", f"what `{factory.field}` makes", given.node)

    written = write_layer(
        spec,
        bound,
        {size.param: "0" for size in needed},
        nnx=names.nnx(),
        rngs="rngs",
        segment=text,
        judge=names.judge(),
        helper=names.helper,
        keep_flag=keeps_flag(factory),
    )
    if isinstance(written, Refusal):
        raise Refuse("unsupported-layer", written.reason, given.node)
    check_plain(written, factory, names.nnx(), made.call)
    return written


def keeps_flag(factory: Factory) -> bool:
    """Whether what makes a layer binds its mode, which the layer keeps."""
    flag = LAYERS[f"flax.linen.{factory.layer}"].call.flag
    return flag is not None and flag in factory.bound and not factory.flag


def check_plain(written: Construction, factory: Factory, nnx: str, call: ast.Call) -> None:
    """Refuse layers that need a helper class, or that change what the factory binds."""
    spec = LAYERS[f"flax.linen.{factory.layer}"]
    stock = f"{nnx}.{(spec.nnx or '').rpartition('.')[2]}"
    again = {k.arg for k in call.keywords} & factory.bound
    unseen = any(a.name == "**" for a in written.arguments)
    if written.callee != stock or again - _REBOUND or unseen:
        raise Refuse("unsupported-layer", f"what `self.{factory.field}(...)` makes", call)


def check_bound(site: Site, factory: Factory, conversion: ClassConversion) -> None:
    """Refuse a class that a factory field makes from a partial, unless partial and call give it fields as they are."""
    given = {*conversion.parameters[: len(site.call.args)], *(k.arg for k in site.call.keywords)}
    clash = given & {*factory.bound, *conversion.factories}
    if clash or len(site.partials) > 1 or not factory.bound <= set(conversion.parameters):
        detail = f"what `{factory.field}` binds, and what its call gives besides"
        raise Refuse("unknown-module", detail, site.call)


def rebound(call: ast.Call, factory: Factory) -> frozenset[str]:
    """The fields that a call gives once more, which a partial binds: `conv(features, use_bias=False)`."""
    return factory.bound & {k.arg for k in call.keywords} & _REBOUND


def own_extras(factory: Factory, call: ast.Call, names: FileNames) -> frozenset[str]:
    """What a layer needs to compute as Linen's does for what its call alone gives, whatever the factory binds."""
    spec = LAYERS[f"flax.linen.{factory.layer}"]
    bound = bind(spec, call)
    needed = bound if isinstance(bound, Refusal) else needed_sizes(spec, bound, names.judge())
    if isinstance(bound, Refusal) or isinstance(needed, Refusal):
        return frozenset()
    sizes = {size.param: "0" for size in needed}
    written = write_layer(
        spec, bound, sizes, nnx="nnx", rngs="rngs", segment=ast.unparse, judge=names.judge(), helper=str
    )
    arguments = () if isinstance(written, Refusal) else written.arguments
    return frozenset(a.parameter for a in arguments if a.origin == "extra")


def late_extras(factory: Factory, call: ast.Call, names: FileNames) -> frozenset[str]:
    """The extras that the call itself gives, as what makes the layers can't: it doesn't know all of what decides."""
    again = rebound(call, factory) & {"use_bias", "use_scale"}
    return own_extras(factory, call, names) | ({"promote_dtype"} if again else frozenset())


def late_arguments(
    written: Construction,
    factory: Factory,
    call: ast.Call,
    extras: frozenset[str],
    bound: frozenset[str] = frozenset(),
) -> list[str]:
    """The arguments that the `call` of a factory still gives, these extras and `rngs` at the end.

    `bound` are the fields that a partial of the factory binds, which the constructor has as a variable.
    """
    _, late = written.split((factory.bound | bound) - rebound(call, factory))
    own = [str(a) for a in written.arguments if a.origin == "extra" and a.parameter in extras]
    rngs = [str(a) for a in written.arguments if a.origin == "rngs"]
    return [*(str(argument) for argument in late), *own, *rngs]
