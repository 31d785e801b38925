"""Partials of a class that a module names: `TanhNormal = partial(Normal, squash_tanh=True)`, constructed elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.programs.constructions.references import is_annotation
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_PARTIAL = "functools.partial"
Place = tuple[Module, ast.Call]


def places_by_name(project: Project, module: Module, partial: ast.Call) -> list[Place] | None:
    """The calls of a partial that a module gives a name, and partials of it; None where it may be used otherwise.

    It may be imported; a name that holds something else, too, is none.
    """
    statement = module.parents.get(partial)
    if not (
        isinstance(statement, ast.Assign)
        and module.parents.get(statement) is module.tree
        and len(statement.targets) == 1
        and isinstance(target := statement.targets[0], ast.Name)
        and len(module.scopes.module.bindings.get(target.id, [])) == 1
    ):
        return None
    found: list[Place] = []
    for where, node in _references(project, module, target.id):
        outer = where.parents.get(node)
        called = isinstance(outer, ast.Call) and (
            outer.func is node or (outer.args[:1] == [node] and _is_partial(project, where, outer))
        )
        if isinstance(outer, ast.Call) and called:
            found.append((where, outer))
        elif not is_annotation(where, node):
            return None
    return found


def class_named(project: Project, module: Module, node: ast.expr) -> str | None:
    """The class that a name means, or a partial of it that has this name in its module."""
    name = project.resolve(node, module.scope_at(node), module)
    if name is None and isinstance(node, ast.Name):
        scope = module.scope_at(node).binder(node.id)
        name = f"{module.name}.{node.id}" if scope is module.scopes.module else None
    definition = project.definition(name) if name is not None else None
    value = definition.binding.value if definition is not None else None
    if definition is None or not isinstance(value, ast.Call) or not value.args:
        return name
    if not _is_partial(project, definition.module, value):
        return name
    home, inner = definition.module, value.args[0]
    return project.resolve(inner, home.scope_at(inner), home)


def _references(project: Project, home: Module, name: str) -> Iterator[tuple[Module, ast.expr]]:
    """Whatever reads a variable of a module, by its own name or by one that an import gives it."""
    qualified = f"{home.name}.{name}"
    names, seen = [name], set[ast.expr]()
    for one in names:  # grows
        for module in project.matching(re.compile(rf"\b{re.escape(one)}\b"), one):
            for imported in module.nodes(ast.ImportFrom):
                others = [a.asname for a in imported.names if a.name == one and a.asname]
                names += [other for other in others if other not in names]
            reads: list[ast.Name | ast.Attribute] = [*module.nodes(ast.Name), *module.nodes(ast.Attribute)]
            for node in reads:
                last = node.id if isinstance(node, ast.Name) else node.attr
                if last != one or node in seen or (isinstance(node.ctx, ast.Store) and module is home):
                    continue
                scope = module.scope_at(node)
                own = (
                    module is home and isinstance(node, ast.Name) and scope.binder(one) is home.scopes.module
                )
                if (own and one == name) or project.resolve(node, scope, module) == qualified:
                    seen.add(node)
                    yield module, node


def _is_partial(project: Project, module: Module, call: ast.Call) -> bool:
    return project.resolve(call.func, module.scope_at(call.func), module) == _PARTIAL
