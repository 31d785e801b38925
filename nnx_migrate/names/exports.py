"""Which names of the project's modules other files of the project use."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from nnx_migrate.names.modules import Module

if TYPE_CHECKING:
    from nnx_migrate.names.project import Project


class Exports:
    """Built once, in one walk over the project: `from module import name` and `module.name`."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._used: dict[Path, set[str]] = {}
        self._starred: set[Path] = set()
        for path in project.paths:
            loaded = project.is_loaded(path)
            module = project.module(path)
            if module is not None:
                self._read(module)
            if not loaded:
                project.release(path)

    def uses(self, path: Path, name: str) -> bool:
        """True where another file takes `name` from the module at `path`."""
        return path in self._starred or name in self._used.get(path, ())

    def _read(self, module: Module) -> None:
        local: dict[str, Path] = {}
        for scope in module.scopes.all_scopes():
            for base in scope.star_imports:
                other = self._other(base, module)
                if other is not None:
                    self._starred.add(other)
            for name, bindings in scope.bindings.items():
                for binding in bindings:
                    if not binding.target:
                        continue
                    base, _, last = binding.target.rpartition(".")
                    other = self._other(base, module)
                    if other is not None:
                        self._used.setdefault(other, set()).add(last)
                    other = self._other(binding.target, module)
                    if other is not None:
                        local[name] = other
        if local:
            self._read_attributes(module, local)

    def _other(self, name: str, importer: Module) -> Path | None:
        path = self._project.find_path(name, importer) if name else None
        return path if path != importer.path else None

    def _read_attributes(self, module: Module, local: dict[str, Path]) -> None:
        """`utils.tree_map` and `pkg.utils.tree_map`: every attribute on the way counts for the module."""
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute):
                root: ast.expr = node.value
                while isinstance(root, ast.Attribute):
                    root = root.value
                if isinstance(root, ast.Name) and root.id in local:
                    for path in self._below(local[root.id]):
                        self._used.setdefault(path, set()).add(node.attr)

    def _below(self, path: Path) -> list[Path]:
        if path.name != "__init__.py":
            return [path]
        return [p for p in self._project.paths if p == path or path.parent in p.parents]
