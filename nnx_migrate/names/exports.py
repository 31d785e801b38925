"""Which names of the project's modules other files of the project use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import SourceError

if TYPE_CHECKING:
    from nnx_migrate.names.project import Project

_IMPORT = re.compile(
    r"(?:^|[:;])[ \t>]*(?:from\b.*?\bimport\b(?:[ \t]*\([^)]*\)|(?:\\\r?\n|[^\n;])*)|import\b(?:\\\r?\n|[^\n;])*)",
    re.MULTILINE,
)
_WORD = re.compile(r"\w+")


class Exports:
    """Answers by the words first: only files that import from a module and mention a name are parsed."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._used: dict[Path, tuple[set[tuple[Path, str]], set[Path]]] = {}

    def uses(self, path: Path, name: str) -> bool:
        """True where another file takes `name` from the module at `path` (`from`, attribute or star import)."""
        return next(self.users(path, name), None) is not None

    def users(self, path: Path, name: str) -> Iterator[Path]:
        """The files that take `name` from the module at `path`."""
        stem = path.parent.name if path.name == "__init__.py" else path.stem
        for other, words in self._import_words.items():
            # a relative star import (`from . import *`) need not spell the module
            if other == path or not (stem in words or "*" in words):
                continue
            if (name in words or "*" in words or self._mentions(other, name)) and self._takes(
                other, path, name
            ):
                yield other

    def importers(self, name: str) -> Iterator[Path]:
        """The files with an import that spells a name, or may bring it by a star."""
        return (path for path, words in self._import_words.items() if name in words or "*" in words)

    def _mentions(self, other: Path, name: str) -> bool:
        """True where a file can read `name` as an attribute of a module."""
        try:
            return f".{name}" in self._project.text(other)
        except (OSError, SourceError):
            return False

    def forget(self, path: Path) -> None:
        """A file has changed: look at it anew."""
        self._used.pop(path, None)
        if "_import_words" in self.__dict__:
            self._import_words[path] = self._words_of(path)

    @cached_property
    def _import_words(self) -> dict[Path, frozenset[str]]:
        """The words in each file's import statements, star imports as `*`."""
        return {path: self._words_of(path) for path in self._project.paths}

    def _words_of(self, path: Path) -> frozenset[str]:
        try:
            text = self._project.text(path)
        except (OSError, SourceError):
            return frozenset()  # whoever scans the file reports it
        words: set[str] = set()
        for statement in _IMPORT.findall(text):
            words.update(_WORD.findall(statement))
            if "*" in statement:
                words.add("*")
        return frozenset(words)

    def _takes(self, other: Path, path: Path, name: str) -> bool:
        if other not in self._used:
            loaded = self._project.is_loaded(other)
            module = self._project.module(other)
            self._used[other] = self._read(module) if module is not None else (set(), set())
            if not loaded:
                self._project.release(other)
        names, starred = self._used[other]
        return path in starred or (path, name) in names

    def _read(self, module: Module) -> tuple[set[tuple[Path, str]], set[Path]]:
        """(module, name) pairs that a file takes from other project files, and the modules it stars."""
        local: dict[str, Path] = {}
        names: set[tuple[Path, str]] = set()
        starred: set[Path] = set()
        for scope in module.scopes.all_scopes():
            starred.update(p for base in scope.star_imports if (p := self._other(base, module)))
            for name, bindings in scope.bindings.items():
                for binding in bindings:
                    base, _, last = binding.target.rpartition(".")
                    if (taken_from := self._other(base, module)) is not None:
                        names.add((taken_from, last))
                    if (imported := self._other(binding.target, module)) is not None:
                        local[name] = imported
        names.update(self._attributes(module, local) if local else ())
        return names, starred

    def _other(self, name: str, importer: Module) -> Path | None:
        path = self._project.find_path(name, importer) if name else None
        return path if path != importer.path else None

    def _attributes(self, module: Module, local: dict[str, Path]) -> Iterator[tuple[Path, str]]:
        """`utils.tree_map`, `pkg.utils.tree_map`: an attribute on the way counts for the module it is of."""
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Attribute):
                continue
            way = [node.attr]
            root: ast.expr = node.value
            while isinstance(root, ast.Attribute):
                way.append(root.attr)
                root = root.value
            if not isinstance(root, ast.Name) or root.id not in local:
                continue
            path = local[root.id]
            yield path, node.attr
            *submodules, last = reversed(way)
            for part in submodules if path.name == "__init__.py" else ():
                below = [path.parent / f"{part}.py", path.parent / part / "__init__.py"]
                found = next((p for p in below if p in self._project), None)
                if found is None:
                    break
                path = found
                yield path, last
                if path.name != "__init__.py":
                    break
