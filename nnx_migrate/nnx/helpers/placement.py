"""Where the helpers of migrated code are written: one module per package, or beside the scripts."""

from __future__ import annotations

import ast
from pathlib import Path

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.names.import_prefix import import_prefix
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


def helper_import(module: Module, name: str) -> ImportRequest:
    """The import of a helper in a module."""
    folder = module.path.parent
    parts: list[str] = []
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    base = f"{parts[0]}.{HELPER_MODULE}" if parts else HELPER_MODULE
    return ImportRequest(f"{base}.{name}", name, base)


def placed(request: ImportRequest, module: Module, project: Project) -> ImportRequest:
    """The import of a helper as the project's own imports name its folder; other imports stay as they are."""
    base, _, name = request.qualified.rpartition(".")
    if base.rpartition(".")[2] != HELPER_MODULE:
        return request
    folder = helper_path(module).parent
    prefix = import_prefix(folder, project)
    if (
        prefix is None
        and not module.package
        and any(isinstance(n, ast.ImportFrom) and n.level for n, _, _ in module.scopes.imports)
    ):
        base = f".{HELPER_MODULE}"
    elif prefix is not None:
        base = ".".join((*prefix, HELPER_MODULE))
    return ImportRequest(f"{base}.{name}", name, base)


def imported_helpers(module: Module) -> set[str]:
    """The helpers that a file already imports."""
    return {
        alias.name
        for node, _, _ in module.scopes.imports
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == HELPER_MODULE
        for alias in node.names
    } & helper_names()
