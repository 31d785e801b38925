"""Partials of a class that a module names: `TanhNormal = partial(Normal, squash_tanh=True)`, constructed elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.programs.constructions.references import is_annotation
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Scope

_PARTIAL = "functools.partial"
Place = tuple[Module, ast.Call]


def places_by_name(project: Project, module: Module, partial: ast.Call) -> list[Place] | None:
    """The calls of a partial that a module or a function gives a name, and partials of it; None where it may be used
    otherwise.

    A module's may be imported; a name that holds something else, too, is none.
    """
    statement = module.parents.get(partial)
    if not (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(target := statement.targets[0], ast.Name)
    ):
        return None
    scope = module.scope_at(target).binder(target.id)
    if scope is None or scope.is_class or len(scope.bindings.get(target.id, [])) != 1:
        return None
    if scope.is_module and module.parents.get(statement) is not module.tree:
        return None
    references = (
        _references(project, module, target.id) if scope.is_module else _reads(module, scope, target.id)
    )
    found: list[Place] = []
    for where, node in references:
        outer = where.parents.get(node)
        called = isinstance(outer, ast.Call) and (
            outer.func is node or (outer.args[:1] == [node] and _is_partial(project, where, outer))
        )
        if isinstance(outer, ast.Call) and called:
            found.append((where, outer))
        elif not is_annotation(where, node):
            return None
    return found


def _reads(module: Module, scope: Scope, name: str) -> Iterator[tuple[Module, ast.expr]]:
    """Whatever reads a variable of a function, functions within it, too."""
    for node in module.nodes(ast.Name):
        if node.id == name and not isinstance(node.ctx, ast.Store):
            if module.scope_at(node).binder(name) is scope:
                yield module, node


def class_named(project: Project, module: Module, node: ast.expr) -> str | None:
    """The class that a name means, or a partial of it that has this name in its module, or in the function around."""
    name = project.resolve(node, module.scope_at(node), module)
    value, home = None, module
    if name is None and isinstance(node, ast.Name):
        scope = module.scope_at(node).binder(node.id)
        bindings = scope.bindings.get(node.id, []) if scope is not None and not scope.is_class else []
        if scope is module.scopes.module:
            name = f"{module.name}.{node.id}"
        elif len(bindings) == 1:
            value = bindings[0].value
    definition = project.definition(name) if name is not None else None
    if definition is not None:
        value, home = definition.binding.value, definition.module
    if not isinstance(value, ast.Call) or not value.args or not _is_partial(project, home, value):
        return name
    inner = value.args[0]
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
