"""The code before the migration, read: its classes, what they import, which of them a comparison has run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.programs.inputs.shown import Shown, shown_values
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.parameter_entries import class_key
from nnx_migrate.sources.discovery import discover
from nnx_migrate.sources.files import load_source
from nnx_migrate.verification.imports import imported_by
from nnx_migrate.verification.notebooks import SUFFIX

#: What `fix` recorded about a class: its `sizes` and whether it takes `rngs`.
Facts = Mapping[str, Mapping[str, Any]]


class OldCode:
    """The project in the folder `root`. Classes are named by their keys in the parameter map."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = Project(discover([root]), load_source)

    @cached_property
    def _program(self) -> LinenProgram:
        return LinenProgram(self.project)

    @cached_property
    def classes(self) -> dict[str, LinenClass]:
        """The Linen classes."""
        return {class_key(cls): cls for cls in self._program}

    @cached_property
    def finder(self) -> InstanceFinder:
        """What the program does with them."""
        return InstanceFinder(self._program)

    @cached_property
    def _shown(self) -> Mapping[str, Shown]:
        return shown_values(self.finder, self.project)

    def shown(self, key: str) -> Shown:
        """Which values the program shows for the arguments of a class."""
        return self._shown.get(key, Shown())

    def changed(self, key: str, new: Path) -> bool:
        """Whether any file that the module of a class imports is another one in the folder `new`."""
        files = imported_by(self.project, self.classes[key].module).files
        pairs = ((file, new / file.relative_to(self.root)) for file in files)
        return any(
            not after.is_file() or before.read_bytes() != after.read_bytes() for before, after in pairs
        )

    def notebook(self, key: str) -> Path | None:
        """The notebook that defines a class, relative to the project's folder; None for one in a module."""
        cls = self.classes.get(key)
        path = cls.module.path if cls is not None else None
        return path.relative_to(self.root) if path is not None and path.suffix == SUFFIX else None

    def missing_packages(self, key: str) -> list[str]:
        """The packages that the module of a class imports and that aren't installed here."""
        cls = self.classes.get(key)
        return imported_by(self.project, cls.module).missing if cls is not None else []

    def uncovered(self, wanted: Iterable[str], compared: Iterable[Collection[str]]) -> list[str]:
        """Of the `wanted` classes those that no compared model has in it, nor a subclass; the outermost first.

        `compared` are the classes of each compared model.
        """
        names = {name for classes in compared for name in classes}
        bases = {class_key(base) for name in names & self.classes.keys() for base in self.classes[name].mro}
        left = [key for key in wanted if key not in names | bases]
        return sorted(left, key=lambda key: (-len(self._held(key)), key))

    def _held(self, key: str) -> set[str]:
        """The classes that a class builds, directly or through others."""
        found: set[str] = set()
        waiting = [key]
        while waiting:
            new = self._builds.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    @cached_property
    def _builds(self) -> dict[str, set[str]]:
        references = self.finder.references
        builds: dict[str, set[str]] = {}
        for reference in references.inside:
            holder = references.enclosing_class(reference.module, reference.node)
            if holder is not None:
                builds.setdefault(class_key(holder), set()).add(class_key(reference.cls))
        return builds
