"""The classes of a project and what they derive from, across files."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project


def class_of(qualified: str, project: Project) -> tuple[Module, ast.ClassDef] | None:
    """The definition of a project class."""
    definition = project.definition(qualified)
    if definition is None or not isinstance(definition.node, ast.ClassDef):
        return None
    return definition.module, definition.node


def bases(module: Module, node: ast.ClassDef, project: Project) -> Iterator[str | None]:
    """Qualified names of a class's bases (of `Base[T]`: `Base`); None for one that isn't known."""
    scope = module.scope_at(node)
    for base in node.bases:
        expression = base.value if isinstance(base, ast.Subscript) else base
        yield project.resolve(expression, scope, module)


def ancestors(qualified: str, project: Project) -> Iterator[tuple[Module, ast.ClassDef]]:
    """A project class and the project classes above it, nearest first."""
    pending, seen = [qualified], set()
    while pending:
        name = pending.pop(0)
        found = class_of(name, project)
        if name in seen or found is None:
            continue
        seen.add(name)
        yield found
        pending += [base for base in bases(*found, project) if base]


def derives_from(qualified: str, roots: Collection[str], project: Project) -> bool:
    """True where a class is one of `roots` or has one above it; of several definitions, each has to."""
    if qualified in roots:
        return True
    several = project.redefinitions(qualified)
    if several:
        return all(
            isinstance(d.node, ast.ClassDef)
            and any(
                base != qualified and base and derives_from(base, roots, project)
                for base in bases(d.module, d.node, project)
            )
            for d in several
        )
    return any(
        base in roots
        for module, node in ancestors(qualified, project)
        for base in bases(module, node, project)
    )


def qualified_name(module: Module, node: ast.ClassDef) -> str:
    """The name under which a class of a module is known in the project."""
    inside = module.scopes.of_node[node].qualname()
    return f"{module.name}.{inside}"
