"""Which files know each other: by imports, one of another, directly or through more."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nnx_migrate.linen.programs.hidden.run_magics import uses_magics
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import absolute_module

if TYPE_CHECKING:
    from nnx_migrate.linen.programs.hidden.dynamic_reads import DynamicRead

_LOADERS = re.compile(
    r"^\s*(?:import|from) (?:hydra|runpy|pkg_resources)\b|\bgin\.parse_|\bfdl?\.build\("
    r"|\b(?:locate|entry_points|exec_module|load_module)\(|\bexec\((?:\w+\()?open\(",
    re.MULTILINE,
)


def loads_by_name(project: Project) -> bool:
    """Whether configurations, loaders or notebooks may run files by names that the imports don't have."""
    loads = any(True for _ in project.files_where(lambda text: _LOADERS.search(text) is not None))
    return loads or uses_magics(project)


class ImportGraph:
    """The imports between a project's files. `dynamic` are those whose names are computed."""

    def __init__(self, project: Project, dynamic: Sequence[DynamicRead] = ()) -> None:
        self.project, self.dynamic = project, dynamic
        self._known: dict[Path, frozenset[Path]] = {}

    def known_to(self, module: Module) -> frozenset[Path]:
        """A file, what it imports, what imports it, and what that imports: whatever values of these may be in it."""
        if module.path not in self._known:
            users = _closure([module.path], self._importers)
            self._known[module.path] = frozenset(_closure(users, self._imports))
        return self._known[module.path]

    def may_share(self, first: Module, second: Module) -> bool:
        """Whether one file may hold values that the other makes: some program runs both, for all that is known."""
        if first is second or self._may_load_any:
            return True
        known, unclear = self.known_to(first), self._unclear
        return second.path in known or (second.path in unclear and not known.isdisjoint(unclear))

    @cached_property
    def _unclear(self) -> frozenset[Path]:
        """All that may be loaded beside files of which it isn't known what they import."""
        missing = (module for module in self.project.modules() if self.misses(module))
        return frozenset(path for module in missing for path in self.known_to(module))

    @cached_property
    def _may_load_any(self) -> bool:
        """Whether any file may be loaded beside any other."""
        return loads_by_name(self.project)

    def users(self, module: Module) -> frozenset[Path]:
        """A file and all that import it, directly or through others."""
        return frozenset(_closure([module.path], self._importers))

    def imported_by(self, module: Module) -> frozenset[Path]:
        """A file and all that it imports, directly or through others."""
        return frozenset(_closure([module.path], self._imports))

    def misses(self, module: Module) -> bool:
        """Whether an import of a file may mean one of several files: which one isn't known."""
        roots = {name for name in _imported(module) if "." not in name}
        return any(name in self._roots and self.project.find_path(name, module) is None for name in roots)

    @cached_property
    def _roots(self) -> frozenset[str]:
        """What a folder on Python's path may offer: files that are in no package, and packages that are in none."""
        packages = {path.parent for path in self.project.paths if path.name == "__init__.py"}
        files = {path.stem for path in self.project.paths if path.parent not in packages}
        return frozenset(files | {folder.name for folder in packages if folder.parent not in packages})

    @cached_property
    def _imports(self) -> dict[Path, set[Path]]:
        found: dict[Path, set[Path]] = {}
        modules = list(self.project.modules())
        paths = {module.path for module in modules}
        for module in modules:
            names = (path for name in _imported(module) if (path := self.project.find_path(name, module)))
            found[module.path] = {*names, *_shared_by_tests(module, paths)}
        for read in self.dynamic:
            found.setdefault(read.module.path, set()).update(
                other.path for other in modules if read.may_reach(other.name)
            )
        return found

    @cached_property
    def _importers(self) -> dict[Path, set[Path]]:
        found: dict[Path, set[Path]] = {}
        for importer, imported in self._imports.items():
            for path in imported:
                found.setdefault(path, set()).add(importer)
        return found


def _closure(start: Iterable[Path], steps: dict[Path, set[Path]]) -> list[Path]:
    found = list(start)
    seen = set(found)
    for path in found:  # grows
        new = steps.get(path, set()) - seen
        seen |= new
        found += new
    return found


def _shared_by_tests(module: Module, paths: Collection[Path]) -> Iterator[Path]:
    """What pytest imports for a test: the files `conftest.py` of its folder and of those above."""
    if module.is_test:
        shared = (folder / "conftest.py" for folder in module.path.parents)
        yield from (path for path in shared if path in paths and path != module.path)


def _imported(module: Module) -> Iterator[str]:
    """The names of all modules that the imports of a file may run, packages above them included."""
    for node, _, _ in module.scopes.imports:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = absolute_module(node, module.package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: length + 1]) for length in range(len(parts)))
