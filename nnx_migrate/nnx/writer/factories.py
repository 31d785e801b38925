"""Factories that one class hands to another: `conv = partial(nn.Conv, use_bias=False)`, given as a field."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.factories import Factory, partial_given
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef
from nnx_migrate.nnx.layers import LAYERS, Construction, Refusal, bind, bind_partial, needed_sizes
from nnx_migrate.nnx.layers import write_construction as write_layer

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction import ConstructionWriter


def given_flags(writer: ConstructionWriter, site: Site) -> dict[str, ast.expr]:
    """What the factories given to a submodule bind as its mode flags. Raises Refuse."""
    found: dict[str, ast.expr] = {}
    if not isinstance(site.target, ClassRef):
        return found
    for factory in writer.converted(site.target.cls).factories.values():
        if not factory.flag:
            continue
        value = next(k.value for k in _given(writer, site, factory).keywords if k.arg == factory.flag)
        if ast.dump(found.setdefault(factory.flag, value)) != ast.dump(value):
            detail = f"the factories given to `{site.target_name}` bind different `{factory.flag}`"
            raise Refuse("mode-flag", detail, site.call)
    return found


def _given(writer: ConstructionWriter, site: Site, factory: Factory) -> ast.Call:
    assert isinstance(site.target, ClassRef)
    analysis = writer.analysis
    call = partial_given(
        analysis.session.program, site.target.cls, factory.field, writer.names.module, site.call
    )
    if call is None or site.context or site.method == "setup":
        raise Refuse("unknown-module", f"the factory `{factory.field}` can't be followed", site.call)
    return call


def partial_arguments(writer: ConstructionWriter, site: Site, factory: Factory) -> tuple[ast.Call, list[str]]:
    """The user's partial, and the arguments of the NNX one.

    They have to be right for each layer that the class makes with the factory. Raises Refuse.
    """
    assert isinstance(site.target, ClassRef)
    given = _given(writer, site, factory)
    analysis = writer.converted(site.target.cls).analysis
    assert analysis is not None
    found: list[list[str]] = []
    for made in analysis.sites:
        if any(p.call is factory.value.call for p in made.partials):
            construction = _complete(writer, factory, given, made)
            early, _ = construction.split(factory.bound)
            found.append([construction.callee, *(str(a) for a in early if a.origin != "rngs")])
    if not found or any(arguments != found[0] for arguments in found):
        detail = f"the layers that `{factory.field}` makes need different arguments"
        raise Refuse("unsupported-layer", detail, site.call)
    return given, found[0]


def _complete(writer: ConstructionWriter, factory: Factory, given: ast.Call, made: Site) -> Construction:
    """One layer of the class as if it were constructed here. Sizes don't matter for the partial."""
    spec = LAYERS[f"flax.linen.{factory.layer}"]
    names = writer.names
    parts = set(ast.walk(given))

    def segment(node: ast.AST) -> str:
        return writer.renderer.text(node) if node in parts else names.module.source.segment(node)

    base = bind_partial(spec, given)
    bound = base if isinstance(base, Refusal) else bind(spec, made.call, base=base)
    needed = bound if isinstance(bound, Refusal) else needed_sizes(spec, bound, names.judge())
    if isinstance(bound, Refusal) or isinstance(needed, Refusal):
        raise Refuse("unsupported-layer", f"what `{factory.field}` makes", given)
    written = write_layer(
        spec,
        bound,
        {size.param: "0" for size in needed},
        nnx=names.nnx(),
        rngs="rngs",
        segment=segment,
        judge=names.judge(),
        helper=names.helper,
    )
    if isinstance(written, Refusal):
        raise Refuse("unsupported-layer", written.reason, given)
    check_plain(written, factory, names.nnx(), made.call)
    return written


def check_plain(written: Construction, factory: Factory, nnx: str, call: ast.Call) -> None:
    """Refuse layers that need a helper class, or that change what the factory binds."""
    spec = LAYERS[f"flax.linen.{factory.layer}"]
    stock = f"{nnx}.{(spec.nnx or '').rpartition('.')[2]}"
    again = {k.arg for k in call.keywords} & factory.bound
    unseen = any(a.name == "**" for a in written.arguments)
    if written.callee != stock or again or unseen:
        raise Refuse("unsupported-layer", f"what `self.{factory.field}(...)` makes", call)


def late_arguments(written: Construction, factory: Factory) -> list[str]:
    """The arguments that the call of a factory still gives, `rngs` at the end."""
    _, late = written.split(factory.bound)
    rngs = [str(a) for a in written.arguments if a.origin == "rngs"]
    return [str(argument) for argument in late] + rngs
