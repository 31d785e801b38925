"""What configurations declare of the values that modules read of them: `self.config.width`, of `width: int`."""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.fields.configurations import has_subclasses
from nnx_migrate.names.classes import class_of


def declared_type(cls: LinenClass, text: str) -> str:
    """The name of the type that the class of a field declares for `self.field.name`; "" where it declares none.

    A class that others derive from doesn't say what these declare.
    """
    receiver, *names = text.split(".")
    item = cls.field(names[0]) if receiver == "self" and len(names) == 2 else None
    if item is None or not isinstance(item.annotation, ast.Name | ast.Attribute):
        return ""
    project, module = cls.program_project, item.owner.module
    qualified = project.resolve(item.annotation, module.scope_at(item.node), module)
    found = class_of(qualified, project) if qualified is not None else None
    if qualified is None or found is None or project.redefinitions(qualified):
        return ""
    declared = [
        statement.annotation.id
        for statement in found[1].body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.target.id == names[1]
        and isinstance(statement.annotation, ast.Name)
    ]
    return declared[0] if len(declared) == 1 and not has_subclasses(project, qualified) else ""
