"""Under which name a project imports what stands in a folder, told by its own imports.

Folders without `__init__.py` are packages all the same (namespace packages) where a script above them imports
`utils.train`; nothing about such a folder itself shows that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from functools import cached_property
from pathlib import Path
from sys import stdlib_module_names
from typing import TYPE_CHECKING

from nnx_migrate.names.layout import LIBRARIES

if TYPE_CHECKING:
    from nnx_migrate.names.project import Project

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*))", re.MULTILINE
)


_RELATIVE = re.compile(r"^[ \t]*from[ \t]+\.", re.MULTILINE)
_PACKAGING = ("setup.py", "setup.cfg", "pyproject.toml")
_SCRIPTS = frozenset({"src", "lib", "scripts", "examples", "tests", "notebooks", "benchmarks", "docs"})


class ImportPrefixes:
    """The prefixes of a project's folders, each found once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._found: dict[Path, tuple[str, ...] | None] = {}
        self._search_paths: dict[Path, bool] = {}

    def of(self, folder: Path) -> tuple[str, ...] | None:
        """The parts of the dotted name that stands for a folder in most imports; None where nothing shows it."""
        folder = folder.absolute()
        if folder not in self._found:
            self._found[folder] = self._imported_as(folder)
        return self._found[folder]

    def is_search_path(self, folder: Path) -> bool:
        """Whether files in a folder import what stands in it by bare names, and none knows the folder as a package."""
        folder = folder.absolute()
        if folder not in self._search_paths:
            self._search_paths[folder] = self.of(folder) is None and self._is_searched(folder)
        return self._search_paths[folder]

    def _is_searched(self, folder: Path) -> bool:
        paths = self._project.files_where(lambda text: "import" in text)
        within = [
            (path, self._project.text(path)) for path in paths if path.absolute().is_relative_to(folder)
        ]
        if any(path.absolute().parent == folder and _RELATIVE.search(text) for path, text in within):
            return False  # a script couldn't do that
        names = {place.name for place in self._places if place.parent == folder}
        bare = names - stdlib_module_names - LIBRARIES - {"__init__"}
        return any(name.partition(".")[0] in bare for _, text in within for name in _imported(text))

    def _imported_as(self, folder: Path) -> tuple[str, ...] | None:
        counts = Counter(
            found
            for path in self._project.files_mentioning(folder.name)
            for name in _imported(self._project.text(path))
            if (found := _prefix(name.split("."), folder, self._places))
        )
        found = max(counts, key=lambda prefix: (counts[prefix], len(prefix)), default=None)
        return found or ((folder.name,) if self._is_distributed(folder) else None)

    @cached_property
    def _places(self) -> frozenset[Path]:
        """All modules, without suffix, and all folders."""
        files = [path.absolute() for path in self._project.paths]
        folders = (parent for path in files for parent in path.parents)
        return frozenset([*(path.with_suffix("") for path in files), *folders])

    def _is_distributed(self, folder: Path) -> bool:
        """Whether a folder that nothing in the project imports is what the project installs.

        It stands beside the packaging, and its files are no scripts, which find each other by their bare names.
        """
        if folder.name in _SCRIPTS or not any((folder.parent / name).is_file() for name in _PACKAGING):
            return False
        files = [path for path in self._project.paths if path.absolute().parent == folder]
        stems = {path.stem for path in files}
        texts = [self._project.text(path) for path in files]
        return not any(
            "__main__" in text or any(name.partition(".")[0] in stems for name in _imported(text))
            for text in texts
        )


def _imported(text: str) -> Iterator[str]:
    for match in _IMPORT.finditer(text):
        yield from (name.strip() for name in (match[1] or match[2]).split(",") if not name.startswith("."))


def _prefix(parts: list[str], folder: Path, places: Container[Path]) -> tuple[str, ...] | None:
    """The start of a dotted name that leads to `folder`, if the rest is there."""
    for length in range(len(parts) - 1, 0, -1):
        if folder.parts[-length:] == tuple(parts[:length]) and folder / parts[length] in places:
            return tuple(parts[:length])
    return None
