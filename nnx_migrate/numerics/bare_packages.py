"""Importing a module although the package that it stands in can't be imported.

A package's `__init__.py` often imports all of the package, and what a model's own module has no use for need not be
installed. A package whose `__init__.py` raises is replaced by an empty one with the same folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType


def without_broken_packages(run: Callable[[], None], roots: Sequence[str]) -> list[str]:
    """Calls `run`, which imports modules, until no package below `roots` on the way to them is at fault.

    Returns what was left out and why. Raises what `run` raised at first, where leaving that out doesn't help.
    """
    notes: list[str] = []
    original: Exception | None = None
    while True:
        try:
            run()
            return notes
        except Exception as error:
            original = original or error
            package = _failing_package(error.__traceback__, roots)
            if package is None:
                raise original from None
            name, file = package
            _replace(name, file)
            notes.append(f"imported without {name}/__init__.py, which raises {type(error).__name__}: {error}")


def _failing_package(traceback: TracebackType | None, roots: Sequence[str]) -> tuple[str, Path] | None:
    """The package whose `__init__.py` is the first file of the project that `run` has made Python import."""
    while traceback is not None:
        frame = traceback.tb_frame
        file = Path(frame.f_code.co_filename)
        if frame.f_code.co_name == "<module>" and any(file.is_relative_to(root) for root in roots):
            return (str(frame.f_globals["__name__"]), file) if file.name == "__init__.py" else None
        traceback = traceback.tb_next
    return None


def _replace(name: str, file: Path) -> None:
    package = ModuleType(name)
    package.__path__ = [str(file.parent)]
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
