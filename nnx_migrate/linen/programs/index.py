"""Every read of an attribute and every import of a project, by name: built once, asked often."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from nnx_migrate.linen.programs.dataflow.receivers import Owner, Receivers
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.reaching import reaches
from nnx_migrate.names.scopes import BindingKind, Scope

if TYPE_CHECKING:
    from nnx_migrate.linen.programs.hidden.dynamic_reads import DynamicRead


class ProjectIndex:
    """Finds expressions by the names in them. `dynamic` are reads of module-level names that are computed.

    `may_share` says of two files whether one may hold values that the other makes.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.dynamic: Sequence[DynamicRead] = ()
        self.may_share: Callable[[Module, Module], bool] = lambda one, other: True
        self.receivers = Receivers(project)
        self._reads: dict[tuple[str, Owner], list[tuple[Module, ast.Attribute]]] = {}
        self._of_bindings: dict[tuple[Scope, str, ast.AST | None], list[tuple[Module, ast.expr]]] = {}

    @cached_property
    def _attributes(self) -> dict[str, list[tuple[Module, ast.Attribute]]]:
        found: dict[str, list[tuple[Module, ast.Attribute]]] = {}
        for module in self.project.modules():
            for node in module.nodes(ast.Attribute):
                if isinstance(node.ctx, ast.Load):
                    found.setdefault(node.attr, []).append((module, node))
        return found

    @cached_property
    def _looked_up(self) -> dict[str, list[tuple[Module, ast.Call]]]:
        found: dict[str, list[tuple[Module, ast.Call]]] = {}
        for module in self.project.mentioning("getattr"):
            for call in module.nodes(ast.Call):
                name = call.args[1] if len(call.args) > 1 else None
                if isinstance(call.func, ast.Name) and call.func.id == "getattr":
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        found.setdefault(name.value, []).append((module, call))
        return found

    @cached_property
    def _stores(self) -> dict[str, list[tuple[Module, ast.Attribute, ast.expr]]]:
        found: dict[str, list[tuple[Module, ast.Attribute, ast.expr]]] = {}
        for module in self.project.modules():
            assigned = [(t, node.value) for node in module.nodes(ast.Assign) for t in node.targets]
            annotated = [(node.target, node.value) for node in module.nodes(ast.AnnAssign)]
            for target, value in (*assigned, *annotated):
                if isinstance(target, ast.Attribute) and value is not None:
                    found.setdefault(target.attr, []).append((module, target, value))
        return found

    @cached_property
    def _imports(self) -> dict[str, list[tuple[Module, Scope, str]]]:
        """The imported name (before `as`) -> where it is imported, and under what name."""
        found: dict[str, list[tuple[Module, Scope, str]]] = {}
        for module in self.project.modules():
            for scope in module.scopes.all_scopes():
                for local, bindings in scope.bindings.items():
                    for binding in bindings:
                        if binding.kind is BindingKind.IMPORT:
                            original = binding.target.rpartition(".")[2]
                            found.setdefault(original, []).append((module, scope, local))
        return found

    @cached_property
    def _starring(self) -> list[Module]:
        """The files with `from module import *`."""
        return [module for module in self.project.modules() if module.scopes.module.star_imports]

    @cached_property
    def _methods(self) -> dict[str, list[tuple[Module, ast.FunctionDef]]]:
        found: dict[str, list[tuple[Module, ast.FunctionDef]]] = {}
        for module in self.project.modules():
            for owner in module.scopes.of_node:
                for statement in owner.body if isinstance(owner, ast.ClassDef) else ():
                    if isinstance(statement, ast.FunctionDef):
                        found.setdefault(statement.name, []).append((module, statement))
        return found

    def attribute_reads(self, name: str, owner: Owner = None) -> list[tuple[Module, ast.Attribute]]:
        """Every `<anything>.name`, as far as it may belong to an instance of `owner`."""
        if (name, owner) not in self._reads:
            reads = self._attributes.get(name, [])
            self._reads[name, owner] = [(m, n) for m, n in reads if self.receivers.may_be(owner, m, n.value)]
        return self._reads[name, owner]

    def looked_up(self, name: str, owner: Owner = None) -> Iterator[tuple[Module, ast.Call]]:
        """Every `getattr(<anything>, "name")`, as far as it may be of an instance of `owner`."""
        for module, call in self._looked_up.get(name, ()):
            if self.receivers.may_be(owner, module, call.args[0]):
                yield module, call

    def attribute_values(self, name: str, owner: Owner = None) -> list[tuple[Module, ast.expr]]:
        """What is assigned to `<anything>.name`, as far as it may be an instance of `owner`."""
        stores = self._stores.get(name, [])
        return [(m, value) for m, target, value in stores if self.receivers.may_be(owner, m, target.value)]

    def attribute_stores(self, name: str, owner: Owner = None) -> int:
        """How many places bind `<anything>.name`, in any way, as far as it may be an instance of `owner`."""
        return sum(self.receivers.may_be(owner, m, n.value) for m, n in self._bound.get(name, ()))

    @cached_property
    def _bound(self) -> dict[str, list[tuple[Module, ast.Attribute]]]:
        found: dict[str, list[tuple[Module, ast.Attribute]]] = {}
        for module in self.project.modules():
            for node in module.nodes(ast.Attribute):
                if not isinstance(node.ctx, ast.Load):
                    found.setdefault(node.attr, []).append((module, node))
        return found

    def stored_attributes(self) -> set[str]:
        """The names of all attributes that something binds."""
        return set(self._bound)

    def methods(self, name: str) -> list[tuple[Module, ast.FunctionDef]]:
        """Every method of that name."""
        return self._methods.get(name, [])

    def imports_of(self, module: Module, name: str) -> Iterator[tuple[Module, Scope, str]]:
        """Where other files import a module-level name, as one of several maybe: file, scope and local name."""
        wanted = f"{module.name}.{name}"
        for other, scope, local in self._imports.get(name, ()):
            if other is not module:
                meant = self.project.resolve_name(local, scope, other)
                if meant == wanted or (
                    meant is None and wanted in self.project.imported_as(local, scope, other)
                ):
                    yield other, scope, local
        for other in self._starring:
            scope = other.scopes.module
            if other is not module and name in other.scopes.names and name not in scope.bindings:
                if self.project.resolve_name(name, scope, other) == wanted:
                    yield other, scope, name

    def dotted_reads(self, module: Module, name: str) -> Iterator[tuple[Module, ast.expr]]:
        """Reads of a module-level name through its module: `models.CNN`, `getattr(models, name)`."""
        wanted = f"{module.name}.{name}"
        for other, node in self._attributes.get(name, []):
            if other is not module and self.project.resolve(node, other.scope_at(node), other) == wanted:
                yield other, node
        for read in self.dynamic:
            if read.may_give(module.name, name):
                yield read.module, read.node

    def all_reads(self, module: Module, scope: Scope, name: str) -> Iterator[tuple[Module, ast.expr]]:
        """Reads of a name that a scope binds, in other files too."""
        yield from self.name_reads(module, scope, name)
        if scope.is_module:
            for other, where, local in self.imports_of(module, name):
                yield from self.name_reads(other, where, local)
            yield from self.dotted_reads(module, name)

    def reads_of_binding(
        self, module: Module, scope: Scope, name: str, at: ast.AST | None
    ) -> list[tuple[Module, ast.expr]]:
        """Reads of a name in its file that may see what `at` binds there; all reads without one."""
        if (scope, name, at) not in self._of_bindings:
            reads = self.name_reads(module, scope, name)
            self._of_bindings[scope, name, at] = [
                (where, read) for where, read in reads if at is None or reaches(where, scope, name, at, read)
            ]
        return self._of_bindings[scope, name, at]

    @staticmethod
    def name_reads(module: Module, scope: Scope, name: str) -> Iterator[tuple[Module, ast.expr]]:
        """Reads of a name that a scope binds, or that a star import brings to it."""
        starred = scope.is_module and name not in scope.bindings
        for reference in module.scopes.names.get(name, ()):
            binder = reference.scope.binder(name)
            if isinstance(reference.node, ast.expr) and (binder is scope or (binder is None and starred)):
                yield module, reference.node
