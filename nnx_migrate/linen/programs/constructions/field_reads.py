"""Fields that code reads of a class: `Block.expansion` is the default of a Linen class, and nothing of a NNX one.

The constructor of the NNX class takes the default; only attributes without annotation stay attributes of the class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import References, Role
from nnx_migrate.linen.programs.instance import Obstacle

#: What lists the fields of a class.
_OF_DATACLASSES = frozenset(
    {"__dataclass_fields__", "__dataclass_params__", "__match_args__", "__annotations__"}
)


def fields_read(references: References) -> Iterator[tuple[LinenClass, Obstacle]]:
    """Every such read, in modules too, with the class that it is of."""
    for reference in (*references.outside, *references.inside):
        read = reference.module.parents[reference.node]
        if reference.role is not Role.METHOD or not isinstance(read, ast.Attribute):
            continue
        if read.attr in _OF_DATACLASSES or reference.cls.field(read.attr) is not None:
            detail = f"`{ast.unparse(read)}` reads a field of the class"
            yield reference.cls, Obstacle("class-as-value", detail, reference.module, read)
