"""Modules as the defaults of fields: `input_layer: nn.Module = ArrayInput()`.

A default is made once, when the class is defined, and all modules of the class hold it. That is right for modules
without variables alone: Linen makes a copy for each module that gets one. Nor may it compute anything then, as Linen
does so when the module is called: importing a file must not start JAX, whose configuration a program may still change.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import Field
from nnx_migrate.linen.given.modules import made_by_default
from nnx_migrate.linen.values import ClassRef
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def is_plain_module(item: Field, node: ast.expr, writer: ConstructionWriter) -> bool:
    """Whether a default is a module of the project that holds nothing but what is written there."""
    found = made_by_default(writer.known_factories.program, item)
    if found is None or node is not item.default or item.owner is not writer.analysis.cls:
        return False
    assert isinstance(found.target, ClassRef)
    cls = found.target.cls
    if any(cls.method(name) is not None for name in ("setup", "__post_init__")):
        return False
    return writer.converted(cls).is_stateless
