"""Where the helpers of migrated code are written: one module per package, or beside the scripts."""

from __future__ import annotations

from pathlib import Path

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.names.modules import Module

HELPER_MODULE = "nnx_helpers"


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
