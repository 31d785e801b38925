"""The construction of one of several classes, where partials of classes are among them.

The constructor takes the same choice between the same partials; what the construction gives stands behind that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.layers import LayerChoice
from nnx_migrate.linen.chosen.partials import PartialChoice
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef, Partial
from nnx_migrate.nnx.writer.naming import holds_modules

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def check_partials(writer: ConstructionWriter, site: Site) -> None:
    """Refuse a choice whose partials can't stay as they are; the others the constructor may repeat."""
    if not isinstance(site.target, PartialChoice):
        return
    check_factories(writer, site)
    for maker in site.target.makers:
        if isinstance(maker, Partial):
            check_partial(writer, site, maker)


def check_factories(writer: ConstructionWriter, site: Site) -> None:
    """Refuse one of several classes that would need factories, too."""
    for cls in site.classes:
        if writer.converted(cls).factories:
            raise Refuse("unknown-module", f"one of several classes, `{cls.name}`, gets factories", site.call)


def check_partial(writer: ConstructionWriter, site: Site, maker: Partial) -> None:
    """Refuse a partial of a class that can't stay as it is; any other the constructor may repeat."""
    from nnx_migrate.nnx.writer.construction.chosen_layers import is_outside

    inside = {node for cls in writer.analysis.cls.mro for node in cls.module.nodes(type(site.call))}
    assert isinstance(maker.func, ClassRef)
    names = {name for name, _ in maker.kwargs}
    parameters = writer.converted(maker.func.cls).parameters
    given = {*parameters[: len(site.call.args)], *(k.arg for k in site.call.keywords)}
    is_given = not hasattr(maker.call, "lineno")  # by a field: whoever constructs the class has the partial
    plain = names <= set(parameters) and not (is_given and names & given)
    beside_layers = isinstance(site.target, LayerChoice) and maker.module is not None
    stays = is_given or maker.call in inside or (beside_layers and is_outside(writer, maker, site))
    if not plain or holds_modules(dict(maker.kwargs)) or not stays:
        detail = f"what a partial of `{maker.func.cls.name}` binds, one of several classes"
        raise Refuse("unknown-module", detail, maker.call)
    writer.renderer.partials.add(maker.call)
