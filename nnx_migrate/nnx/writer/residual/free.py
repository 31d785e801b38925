"""Modules without variables: creating one that Linen would not have created changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.linen.values import ClassRef, FieldFactory, FieldModule, Layer
from nnx_migrate.nnx.layers import LAYERS

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def is_free(writer: ConstructionWriter, site: Site | VariableSite) -> bool:
    """Whether what is made here has no variables: a layer such as `nn.Dropout`, or a class built of such layers."""
    if isinstance(site, VariableSite) or site.bridged is not None:
        return False
    if isinstance(site.target, Layer):
        spec = LAYERS.get(f"flax.linen.{site.layer_name}")
        return spec is not None and spec.leaves is None and not spec.children
    if not isinstance(site.target, ClassRef):
        return False
    try:
        if writer.is_bridged(site):
            return False
        return _is_free_class(writer, writer.converted(site.target.cls))
    except Refuse:
        return False


def _is_free_class(writer: ConstructionWriter, conversion: ClassConversion) -> bool:
    analysis = conversion.analysis
    if analysis is None or analysis.variables or conversion.cls.override is not None:
        return False
    if any(isinstance(v, FieldModule | FieldFactory) for v in analysis.session.fields.values()):
        return False
    return all(is_free(writer, site) for site in analysis.sites)
