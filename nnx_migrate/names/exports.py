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

# What an import brings; what stands before it on its line is the `from` part.
_IMPORT = re.compile(r"import\b(?:[ \t]*\([^)]*\)|(?:\\\r?\n|[^\n;])*)")
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

    def imports(self, path: Path, word: str) -> bool:
        """True where an import of a file spells a word."""
        return word in self._import_words[path]

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
        for match in _IMPORT.finditer(text):
            start = text.rfind("\n", 0, match.start()) + 1
            while text.endswith("\\\n", 0, start):
                start = text.rfind("\n", 0, start - 1) + 1
            statement = text[start : match.end()]
            words.update(_WORD.findall(statement))
            if "*" in statement:
                words.add("*")
        return frozenset(words)

    def _takes(self, other: Path, path: Path, name: str) -> bool:
        if other not in self._used:
            with self._project.visit(other) as module:
                self._used[other] = self._read(module) if module is not None else (set(), set())
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
        """`utils.tree_map`, `pkg.utils.tree_map`: an attribute counts for all modules on the way to it."""
        for name, imported in local.items():
            for reference in module.scopes.names.get(name, ()):
                way: list[Path] = [imported]
                submodule: Path | None = imported
                node = module.parents.get(reference.node)
                while isinstance(node, ast.Attribute):
                    yield from ((path, node.attr) for path in way)
                    submodule = self._submodule(submodule, node.attr)
                    way += [submodule] if submodule else []
                    node = module.parents.get(node)

    def _submodule(self, package: Path | None, name: str) -> Path | None:
        if package is None or package.name != "__init__.py":
            return None
        places = (package.parent / f"{name}.py", package.parent / name / "__init__.py")
        return next((place for place in places if place in self._project), None)
