"""Where a project's files stand, and by which names other files import them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# A package's subfolder of such a name (`agents/jax`) is not what `import jax` means, though a script's could be.
LIBRARIES = frozenset({"jax", "flax", "optax", "orbax", "numpy", "einops", "haiku", "torch", "tensorflow"})
# What the name of a notebook ends with where a module beside it has its name (`train.py`, `train.ipynb`).
_BESIDE_MODULE = "_ipynb"


# What stands in the folder that holds a whole project, and not in its packages.
_PROJECT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")


def importable_name(path: Path) -> str:
    """Dotted name by the chain of `__init__.py` above a file; a script's name is its stem."""
    return _Packages().name_of(path)


def files_of_name(name: str) -> Iterator[Path]:
    """The files, relative to some folder, that may have a dotted name, the likelier ones first."""
    path = Path(*name.split("."))
    yield path.parent / f"{path.name}.py"
    yield path / "__init__.py"
    yield path.parent / f"{path.name}.ipynb"
    if name.endswith(_BESIDE_MODULE):
        yield path.parent / f"{path.name.removesuffix(_BESIDE_MODULE)}.ipynb"


class _Packages:
    """Names by the folders that are packages, each looked at once.

    A folder that holds a whole project may have a stray `__init__.py`: `is_search_path` says of such a folder whether
    the code finds its modules by their bare names.
    """

    def __init__(self, is_search_path: Callable[[Path], bool] = lambda _: False) -> None:
        self._is_search_path = is_search_path
        self._prefixes: dict[Path, tuple[str, ...]] = {}
        self._absolute: dict[Path, Path] = {}

    def name_of(self, path: Path) -> str:
        folder = self._absolute.get(path.parent)
        if folder is None:
            folder = Path(os.path.abspath(path.parent))  # noqa: PTH100  (`resolve` would follow symlinks)
            self._absolute[path.parent] = folder
        own = () if path.name == "__init__.py" else (path.stem,)
        return ".".join((*self._prefix(folder), *own)) or folder.name

    def _prefix(self, folder: Path) -> tuple[str, ...]:
        """The packages from the topmost down to a folder; empty for one without `__init__.py`."""
        known = self._prefixes.get(folder)
        if known is None:
            known = (*self._prefix(folder.parent), folder.name) if self._is_package(folder) else ()
            self._prefixes[folder] = known
        return known

    def _is_package(self, folder: Path) -> bool:
        if not (folder / "__init__.py").is_file() or not folder.name.isidentifier():
            return False
        holds_project = any((folder / mark).exists() for mark in _PROJECT_MARKS)
        return not (holds_project and self._is_search_path(folder))


class Layout:
    """The files of a project by their names. `names` are unique, and importable where the layout allows."""

    def __init__(
        self, paths: Iterable[Path], is_search_path: Callable[[Path], bool] = lambda _: False
    ) -> None:
        packages = _Packages(is_search_path)
        self.names = {path: packages.name_of(path) for path in paths}
        beside = {path for path in self.names if self._is_beside_module(path)}
        self.names.update({path: self.names[path] + _BESIDE_MODULE for path in beside})
        self._tell_apart()
        self._by_name = {name: path for path, name in self.names.items()}
        self._by_stem: dict[str, list[Path]] = {}
        for path in (path for path in self.names if path not in beside):
            stem = path.parent.name if path.name == "__init__.py" else path.stem
            self._by_stem.setdefault(stem, []).append(path)
        self._top_level = {name.partition(".")[0] for name in self._by_name}
        self._found: dict[tuple[str, Path], Path | None] = {}

    def _is_beside_module(self, path: Path) -> bool:
        """Whether a file is a notebook, which no import means, and a module beside it has its name."""
        return path.suffix == ".ipynb" and path.with_suffix(".py") in self.names

    def _tell_apart(self) -> None:
        """Files that share a name (scripts in different folders) get their folders in front.

        From the folder down that all files have in common, so that a copy elsewhere has the same names.
        """
        groups: dict[str, list[Path]] = {}
        root = Path(os.path.commonpath([path.parent for path in self.names])) if self.names else Path()
        for path, name in self.names.items():
            groups.setdefault(name, []).append(path)
        for name, paths in groups.items():
            if len(paths) > 1:
                for path in paths:
                    depth = len(name.split(".")) + (path.name == "__init__.py")
                    above = path.parts[len(root.parts) : len(path.parts) - depth]
                    self.names[path] = ".".join([*above, name])

    def has_package(self, name: str) -> bool:
        """True where a top-level module or package of that name is one of the project's files."""
        return name in self._top_level

    def by_name(self, name: str) -> Path | None:
        """The file of a unique name."""
        return self._by_name.get(name)

    def find(self, name: str, importer: Path) -> Path | None:
        """The file that `import name` in `importer` means, whatever folder is on `sys.path`."""
        if name.rpartition(".")[2] not in self._by_stem and name not in self._by_name:
            return None  # most names are those of other packages
        key = name, importer
        if key not in self._found:
            named = self._by_name.get(name)
            if named is None or not _is_below(importer.parent, _search_path(named, name)):
                named = self._nearest(name, importer.parent) or named  # `import model` of a script beside it
            self._found[key] = named
        return self._found[key]

    def _nearest(self, name: str, folder: Path) -> Path | None:
        parts = name.split(".")
        best: list[tuple[int, Path]] = []
        for path in self._by_stem.get(parts[-1], ()):
            root = _search_path(path, name)
            if root is None:
                continue
            if parts[0] in LIBRARIES and root and Path(*root, "__init__.py") in self.names:
                continue
            if _is_below(folder, root):  # the root would have to be a folder above the importer
                best.append((len(root), path))
        if not best:
            return None
        nearest = max(depth for depth, _ in best)
        found = [path for depth, path in best if depth == nearest]
        return found[0] if len(found) == 1 else None


def _search_path(path: Path, name: str) -> tuple[str, ...] | None:
    """The folder, by its parts, that has to be on `sys.path` for a file to be found by a name; None for other names."""
    parts = tuple(name.split("."))
    own = path.parent.parts if path.name == "__init__.py" else (*path.parent.parts, path.stem)
    return own[: -len(parts)] if own[-len(parts) :] == parts else None


def _is_below(folder: Path, root: tuple[str, ...] | None) -> bool:
    """Whether a folder is another one, or within it."""
    return root is not None and folder.parts[: len(root)] == root
