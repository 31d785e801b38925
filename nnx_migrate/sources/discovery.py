"""Which files a run looks at: Python files and notebooks below the given paths.

Inside a git work tree git itself says which files are ignored; elsewhere only the folders that never hold a
project's own code are left out. Files named on the command line are always taken. Flax's own source, which a work tree
of Flax or a vendored copy holds, is what `flax.linen` means: no code that has to move.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

SUFFIXES = (".py", ".ipynb")
SKIPPED_FOLDERS = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", ".eggs", "__pycache__", "__pypackages__",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".nnx-migrate-cache", "node_modules",
    }
)  # fmt: skip


class PathError(Exception):
    """A path on the command line that doesn't exist."""


def discover(paths: Iterable[Path], exclude: Iterable[str] = (), root: Path | None = None) -> list[Path]:
    """Files below `paths`, sorted, each once. `exclude`: glob patterns on paths relative to `root`.

    Raises PathError where a path doesn't exist.
    """
    patterns = tuple(exclude)
    base = (root or Path.cwd()).absolute()
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for file in files_below(path):
                if not _excluded(file, patterns, base):
                    found[file] = None
        elif path.exists() or path.is_symlink():
            found[path] = None
        else:
            raise PathError(f"{path} doesn't exist")
    return sorted(found)


def files_below(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Path]:
    """The files of a folder whose names end so, ignored ones left out."""
    listed = _git_files(folder, suffixes)
    yield from _without_flax(_walk(folder, suffixes) if listed is None else listed, folder)


def _without_flax(files: Iterable[Path], folder: Path) -> list[Path]:
    """Files that don't belong to the package `flax`, if that is more than the folder that is searched."""
    every = list(files)
    packages = [file.parent.parent for file in every if file.parts[-3:] == ("flax", "linen", "module.py")]
    packages = [package for package in packages if folder in package.parents]
    return [file for file in every if not any(package in file.parents for package in packages)]


def _git_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path] | None:
    """Tracked and untracked-but-not-ignored files, or None outside of a work tree.

    A folder that is itself ignored (site-packages in a checkout, named on purpose) is walked instead.
    """
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    command += [f"*{suffix}" for suffix in suffixes]
    try:
        inside = subprocess.run(
            ["git", "-C", str(folder), "check-ignore", "-q", "."], capture_output=True, check=False
        )
        if inside.returncode != 1:
            return None
        result = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return None
    if result.returncode:
        return None
    files = (folder / os.fsdecode(name) for name in result.stdout.split(b"\0") if name)
    # submodules and files deleted from the work tree are listed but not there
    return [f for f in files if f.is_file() or f.is_symlink()]


def _walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
        yield from (Path(base, name) for name in files if name.endswith(suffixes))


def _excluded(path: Path, patterns: tuple[str, ...], root: Path) -> bool:
    if not patterns:
        return False
    absolute = path.absolute()
    relative = absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()
    parts = relative.split("/")
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatch(prefix, p.rstrip("/")) for prefix in prefixes for p in patterns) or any(
        fnmatch(part, p) for part in parts for p in patterns
    )
