"""Where the helpers of migrated code are written: one module per package, or beside the scripts."""

from __future__ import annotations

import ast
from pathlib import Path

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.helpers.bundle import helper_names

HELPER_MODULE = "nnx_compat"


def helper_path(module: Module) -> Path:
    """The file that holds the helpers for a module: in its topmost package, else in its own folder."""
    folder = module.path.parent
    if not (folder / "__init__.py").is_file():
        return folder / f"{HELPER_MODULE}.py"
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return folder / f"{HELPER_MODULE}.py"


def helper_import(module: Module, name: str, project: Project) -> ImportRequest:
    """The import of a helper in a module, as the project's own imports name the folder of the helpers."""
    folder = helper_path(module).parent
    prefix = project.import_prefixes.of(folder)
    if prefix is None and (folder / "__init__.py").is_file():
        prefix = (folder.name,)
    if prefix is not None:
        base = ".".join((*prefix, HELPER_MODULE))
    elif not module.package and _imports_neighbours_relatively(module):
        base = f".{HELPER_MODULE}"
    else:
        base = HELPER_MODULE
    return ImportRequest(f"{base}.{name}", name, base)


def _imports_neighbours_relatively(module: Module) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.level for node, _, _ in module.scopes.imports)


def imported_helpers(module: Module) -> set[str]:
    """The helpers that a file already imports."""
    return {
        alias.name
        for node, _, _ in module.scopes.imports
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == HELPER_MODULE
        for alias in node.names
    } & helper_names()
