"""What lists the names of a namespace or an object: `dir(zoo)`, `vars(settings)`, `self.__dict__`.

Code that looks things up by such names needs no text that says them. What is listed is known where the object is: a
module of the project has the names that it binds, an object those that the project's classes give to theirs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property

from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.names.instances import Instances
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import absolute_module

_MENTION = re.compile(r"\b(?<!\.)(?:dir\(|vars\(\w)|\bgetmembers\w*\(|__dict__|\.__all__\b|['\"]__all__")
_PARSING = frozenset({"parse_args", "parse_known_args"})
#: Methods of a namespace's dictionary that give no names.
_NO_NAMES = frozenset({"get", "pop", "update", "setdefault", "clear", "values"})


class Listings:
    """Finds them. `names` are those that may be listed, as far as that is known."""

    def __init__(self, index: ProjectIndex, origins: Origins) -> None:
        self.index, self.project, self.origins = index, index.project, origins

    def may_serve(self, module: Module) -> bool:
        """Whether code of a file, or of one that imports something of it, lists the names of what isn't known."""
        return module.name in self._unknown or module.name in self._used_by_unknown

    @cached_property
    def names(self) -> set[str]:
        """The names that known modules and objects have."""
        found: set[str] = set()
        for module, node in self._listed:
            listed = self.project.module_named(node, module)
            if listed is not None:
                found.update(listed.scopes.module.bindings)
            elif self._is_object(module, node):
                found |= self._of_objects
        return found

    @cached_property
    def _of_objects(self) -> set[str]:
        """The names of all attributes that the project gives to objects and classes."""
        found = self.index.stored_attributes()
        for module in self.project.modules():
            for node, scope in module.scopes.of_node.items():
                if isinstance(node, ast.ClassDef):
                    found.update(scope.bindings)
        return found

    @cached_property
    def _unknown(self) -> set[str]:
        """The modules that list names of what isn't known."""
        return {module.name for module, node in self._listed if not self._is_known(module, node)}

    @cached_property
    def _used_by_unknown(self) -> set[str]:
        """The modules of which those import something."""
        found: set[str] = set()
        for module in self.project.matching(_MENTION):
            for node, _, _ in module.scopes.imports if module.name in self._unknown else ():
                if isinstance(node, ast.ImportFrom):
                    base = absolute_module(node, module.package)
                    names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
                else:
                    names = [alias.name for alias in node.names]
                found.update(other.name for n in names if (other := self.project.find_module(n, module)))
        return found

    @cached_property
    def _listed(self) -> list[tuple[Module, ast.expr]]:
        return [
            (module, node)
            for module in self.project.matching(_MENTION)
            for node in _listed_in(module, self.project)
        ]

    def _is_known(self, module: Module, node: ast.expr) -> bool:
        listed = self.project.module_named(node, module)
        if listed is not None:
            return not listed.scopes.module.star_imports
        if self._is_object(module, node):
            return True
        origins = self.origins.of(module, node)
        return bool(origins) and all(o is not None and _is_of_command(o[1]) for o in origins)

    def _is_object(self, module: Module, node: ast.expr) -> bool:
        """Whether an expression is a class of the project, or an instance of one."""
        if isinstance(node, ast.Attribute) and node.attr == "__class__":
            return self._is_object(module, node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type":
            return len(node.args) == 1 and self._is_object(module, node.args[0])
        return self.index.receivers.of(module, node) is not None or self._class_of(module, node) is not None

    def _class_of(self, module: Module, node: ast.expr) -> tuple[Module, ast.ClassDef] | None:
        """The project's class of which an expression gives an instance, fields of such classes included."""
        qualified = Instances(module, self.project).class_of(node)
        if qualified is None and isinstance(node, ast.Attribute):
            owner = self._class_of(module, node.value)
            if owner is not None:
                qualified = self._type_of_field(*owner, node.attr)
        definition = self.project.definition(qualified) if qualified is not None else None
        if definition is None or not isinstance(definition.node, ast.ClassDef):
            return None
        return definition.module, definition.node

    def _type_of_field(self, module: Module, cls: ast.ClassDef, name: str) -> str | None:
        for statement in cls.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                if statement.target.id == name and isinstance(statement.annotation, ast.Name | ast.Attribute):
                    return self.project.resolve(statement.annotation, module.scope_at(statement), module)
        return None


def _listed_in(module: Module, project: Project) -> Iterator[ast.expr]:
    """The objects whose names code of a file may list."""
    for call in module.nodes(ast.Call):
        name = last_name(call.func)
        is_own = isinstance(call.func, ast.Name) and (name == "dir" or (name == "vars" and call.args))
        if (is_own or name.startswith("getmembers")) and not _only_looks_up(module, call, name == "vars"):
            yield call.args[0] if call.args else call
    for node in module.nodes(ast.Attribute):
        if node.attr in ("__dict__", "__all__") and isinstance(node.ctx, ast.Load):
            if not _only_looks_up(module, node, node.attr == "__dict__"):
                yield node.value
    yield from (node for node in module.nodes(ast.Constant) if node.value in ("__dict__", "__all__"))


def _only_looks_up(module: Module, node: ast.expr, is_dictionary: bool) -> bool:
    """Whether what lists names is asked for one: `vars(zoo)[name]`, `"sample" in dir(model)`."""
    parent = module.parents[node]
    if isinstance(parent, ast.Subscript):
        return parent.value is node and is_dictionary
    if isinstance(parent, ast.Attribute):
        return parent.attr in _NO_NAMES and is_dictionary
    return isinstance(parent, ast.Compare) and parent.left is not node


def _is_of_command(node: ast.expr) -> bool:
    """Whether an expression gives what `argparse` has read."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PARSING
