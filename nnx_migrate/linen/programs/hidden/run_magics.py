"""Notebooks that run other files in their own namespace: `%run models.ipynb` brings all names that the file binds."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.sources.notebooks import NotebookText
from nnx_migrate.sources.text import SourceError

_RUN = re.compile(r"^[ \t]*%run\b(?P<rest>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One `%run` of a notebook: its line, what it is given, and the file if the project has it."""

    notebook: Module
    line: int
    given: str
    target: Module | None

    def brought(self, project: Project, classes: Collection[str]) -> set[str]:
        """The classes that the notebook may get so, of some by their qualified names."""
        if self.target is None:
            return {cls for cls in classes if cls.rpartition(".")[2] in self.notebook.scopes.names}
        bound = self.target.scopes.module.bindings
        meant = {project.canonical(f"{self.target.name}.{name}", self.target) for name in bound}
        return {cls for cls in classes if cls in meant}


def runs(project: Project) -> Iterator[Run]:
    """Every `%run` of the project's notebooks."""
    for module in _running(project):
        for line, given in _magics(module):
            yield Run(module, line, given, _target(project, module, given))


def uses_magics(project: Project) -> bool:
    """Whether some notebook runs other files."""
    return any(True for _ in _running(project))


def _running(project: Project) -> Iterator[Module]:
    for path in project.paths:
        if path.suffix == ".ipynb" and _says_run(project, path):
            module = project.module(path)
            if module is not None:
                yield module


def _says_run(project: Project, path: Path) -> bool:
    try:
        source = project.source(path)
    except (OSError, SourceError):
        return False  # whoever scans the file reports it
    return isinstance(source, NotebookText) and "%run" in source.raw


def _magics(module: Module) -> Iterator[tuple[int, str]]:
    """The line of each `%run`, and what it is given."""
    assert isinstance(module.source, NotebookText)
    for cell in module.source.cells:
        first, _ = module.source.position(cell.start)
        for match in _RUN.finditer(cell.text):
            yield first + cell.text.count("\n", 0, match.start()), match["rest"]


def _target(project: Project, module: Module, rest: str) -> Module | None:
    """The file of the project that runs; None where that isn't clear."""
    try:
        words = [word for word in shlex.split(rest) if not word.startswith("-")]
    except ValueError:
        return None
    for suffix in ("", ".py", ".ipynb") if words else ():
        wanted = os.path.abspath(module.path.parent / f"{words[0]}{suffix}")  # noqa: PTH100  (keeps symlinks)
        for path in project.paths:
            if os.path.abspath(path) == wanted:  # noqa: PTH100
                return project.module(path)
    return None
