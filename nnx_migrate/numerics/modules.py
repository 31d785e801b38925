"""Importing code apart from everything else: two versions of the same modules in one process.

A fixture's ``before.py`` and ``after.py``, or two revisions of a package, have the same names. Each is
imported while its names are free, and taken out of `sys.modules` afterwards. Code that imports inside
functions has to be called inside `IsolatedTree.active`. (`verify` gives each side a process of its own
instead, see `processes`.)
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def load_file(path: str | Path, name: str | None = None) -> ModuleType:
    """Runs one Python file as a module called `name` (default: its stem); `sys.modules` stays as it was.

    Raises ImportError for what is no Python file, and whatever the file raises.
    """
    file = Path(path).resolve()
    name = name or file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module by name while classes are created.
    with _without_bytecode(), _hidden([name]):
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module


class IsolatedTree:
    """The modules below some import roots, kept apart from other trees with the same module names."""

    def __init__(self, *roots: str | Path):
        self.roots = [Path(root).resolve() for root in roots]
        self._modules: dict[str, ModuleType] = {}

    def import_module(self, name: str) -> ModuleType:
        """Imports ``pkg.module`` from this tree."""
        with self.active():
            return importlib.import_module(name)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Makes this tree's modules the ones that `import` finds."""
        names = {self._module_name(entry) for root in self.roots for entry in root.iterdir()} - {None}
        shadowed = [name for name in sys.modules if name.partition(".")[0] in names]
        paths = [str(root) for root in self.roots]
        with _without_bytecode(), _hidden(shadowed):
            sys.modules.update(self._modules)
            sys.path[:0] = paths
            importlib.invalidate_caches()
            try:
                yield
            finally:
                for path in paths:
                    sys.path.remove(path)
                own = [name for name in sys.modules if name.partition(".")[0] in names]
                self._modules = {name: sys.modules.pop(name) for name in own}

    @staticmethod
    def _module_name(entry: Path) -> str | None:
        if entry.is_dir():
            return entry.name if entry.name.isidentifier() else None
        return entry.stem if entry.suffix == ".py" else None


@contextmanager
def _hidden(names: list[str]) -> Iterator[None]:
    """Takes modules out of `sys.modules` and puts them back, replacing whatever has come in their place."""
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


@contextmanager
def _without_bytecode() -> Iterator[None]:
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
