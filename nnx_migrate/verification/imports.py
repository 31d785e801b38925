"""What a module imports when it is run: files of the project, and packages from elsewhere."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

#: Errors whose handler makes an import optional.
_FORGIVEN = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass
class Imported:
    """`files` of the project that are run, `packages` (top-level names) that have to be installed."""

    files: set[Path] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)

    @property
    def missing(self) -> list[str]:
        """The packages that aren't installed in this environment."""
        return sorted(name for name in self.packages if not _is_installed(name))


def imported_by(project: Project, module: Module) -> Imported:
    """Everything that importing `module` runs, packages above it included; imports in functions don't count."""
    found, waiting = Imported(), [module]
    while waiting:
        module = waiting.pop()
        if module.path in found.files:
            continue
        found.files.add(module.path)
        for name in [*_above(module.name), *_imports(module)]:
            inside = project.find_module(name, module)
            if inside is not None:
                waiting.append(inside)
            elif not project.has_package(name.partition(".")[0]):
                found.packages.add(name.partition(".")[0])
    return found


def _above(name: str) -> Iterator[str]:
    """The packages that contain a module."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts)))


def _imports(module: Module) -> Iterator[str]:
    """The modules that a module may import while it is run, with the packages above them."""
    for node in _run_statements(module.tree.body):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = _absolute(node, module)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
        for name in names:
            yield from _above(name)
            yield name


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    """The module that `from ... import` names; empty for one that can't be told."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = len(parts) - node.level + (module.path.name == "__init__.py")
    return ".".join([*parts[:kept], *([node.module] if node.module else [])]) if kept > 0 else ""


def _run_statements(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that are run with the module, those left out that it can do without."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.Try) and any(map(_forgives, statement.handlers)):
            continue
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _run_statements(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for block in ("body", "orelse", "finalbody"):
                yield from _run_statements(getattr(statement, block, []))


def _forgives(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(node) in _FORGIVEN for node in types)


def _is_installed(name: str) -> bool:
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules
