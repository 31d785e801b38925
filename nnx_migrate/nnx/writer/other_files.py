"""Names of one file as another one writes them: code of a function that stands elsewhere comes into a class."""

from __future__ import annotations

import ast

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.symbols import canonical
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Binding, BindingKind, Guard, absolute_module


def known_name(module: Module, qualified: str, project: Project) -> str | None:
    """The name by which a file's own imports know something; None where they don't, or not everywhere in it."""
    for name, bindings in module.scopes.module.bindings.items():
        if len(bindings) != 1 or not _is_plain_import(bindings[0]) or _is_hidden(module, name):
            continue
        meant = canonical(project.resolve_name(name, module.scopes.module, module))
        if qualified in (meant, bindings[0].target):
            return name
    return None


def import_of(binding: Binding, home: Module, module: Module, project: Project) -> ImportRequest | None:
    """The import by which `module` gets a global name of `home`; None where it has another use for the name."""
    name = binding.name
    if name in module.scopes.names or _is_bound(module, name):
        return None
    if binding.kind is BindingKind.IMPORT:
        return _repeated(binding, home, project) if _is_plain_import(binding) else None
    base = _import_path(home, module, project)
    return ImportRequest(f"{base}.{name}", name, base) if base is not None else None


def _repeated(binding: Binding, home: Module, project: Project) -> ImportRequest | None:
    """An import of a library's name, as another file has it."""
    node, alias = binding.node, binding.alias
    if alias is None or project.find_module(binding.target.partition(".")[0], home) is not None:
        return None
    if isinstance(node, ast.Import):
        return ImportRequest(alias.name, binding.name)
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return ImportRequest(f"{node.module}.{alias.name}", binding.name, node.module)
    return None


def _import_path(home: Module, module: Module, project: Project) -> str | None:
    """How a file that already imports from another one names it."""
    for node, scope, guard in module.scopes.imports:
        if isinstance(node, ast.ImportFrom) and scope is module.scopes.module and guard is Guard.NONE:
            if project.find_module(absolute_module(node, module.package), module) is home:
                return "." * node.level + (node.module or "")
    return None


def _is_plain_import(binding: Binding) -> bool:
    return binding.kind is BindingKind.IMPORT and binding.guard is Guard.NONE


def _is_bound(module: Module, name: str) -> bool:
    return any(name in scope.bindings for scope in module.scopes.all_scopes())


def _is_hidden(module: Module, name: str) -> bool:
    """Whether some function or class of a file has a variable of that name."""
    return any(name in s.bindings for s in module.scopes.all_scopes() if s is not module.scopes.module)
