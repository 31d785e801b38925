"""Fields that hold a function: `pool: Callable = jraph.segment_mean`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.factory_uses import FactoryUses
from nnx_migrate.linen.model import Field, LinenClass
from nnx_migrate.linen.shapes import Global
from nnx_migrate.linen.symbols import linen_name


def default_functions(cls: LinenClass, uses: FactoryUses) -> dict[str, Any]:
    """The fields whose default is a function of known effect that no construction in the project replaces."""
    found: dict[str, Any] = {}
    for item in cls.fields:
        name = _function(cls, item)
        if name is not None and _is_never_given(cls, item.name, uses):
            found[item.name] = Global(name)
    return found


def _function(cls: LinenClass, item: Field) -> str | None:
    if not isinstance(item.default, ast.Name | ast.Attribute):
        return None
    name = cls.resolve_in_class(item.default)
    return name if name is not None and linen_name(name) is None and registry.effect(name) else None


def _is_never_given(cls: LinenClass, field: str, uses: FactoryUses) -> bool:
    constructed = False
    for relative in (
        c for c in uses.program if (cls in c.mro or c in cls.mro) and c.field(field) is not None
    ):
        found = uses.of(relative, field)
        if found is None or any(field in use.arguments for use in found):
            return False
        constructed |= bool(found)
    return constructed
