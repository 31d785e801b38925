"""A class out of a notebook, with what it needs: a notebook can't be imported without running all of it.

Taken are the imports, functions, classes and values at the top of cells that the class reads, and what these read in
turn; training loops, plots and downloads that nothing of it reads stay out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from nnx_migrate.names.modules import Module
from nnx_migrate.sources.files import load_source

SUFFIX = ".ipynb"


def excerpt(path: Path, names: Iterable[str]) -> str:
    """The text of the statements of a notebook that `names` need; every line keeps its number.

    Raises SourceError where the file isn't a notebook of valid Python, and OSError.
    """
    module = Module(path, path.stem, load_source(path))
    lines = module.source.text.splitlines()
    kept = [""] * len(lines)
    for statement in _needed(module, names):
        first = min(part.lineno for part in [statement, *getattr(statement, "decorator_list", ())])
        end = statement.end_lineno or statement.lineno
        kept[first - 1 : end] = lines[first - 1 : end]
    return "\n".join([*kept, ""])


def _needed(module: Module, names: Iterable[str]) -> set[ast.stmt]:
    """The outermost statements that bind the names, and those that bind what these read."""
    top = module.scopes.module
    stars = [node for node in module.tree.body if _imports_all(node)]
    found: set[ast.stmt] = set(stars)
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for binding in top.bindings.get(name, ()):
            statement = _outermost(module, binding.node)
            if statement not in found:
                found.add(statement)
                waiting += _read(module, statement)
    return found


def _imports_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)


def _outermost(module: Module, node: ast.AST) -> ast.stmt:
    while not isinstance(module.parents[node], ast.Module):
        node = module.parents[node]
    assert isinstance(node, ast.stmt)
    return node


def _read(module: Module, statement: ast.stmt) -> set[str]:
    """The names of the notebook that a statement reads, in functions too."""
    top = module.scopes.module
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {
        node.id
        for node in names
        if isinstance(node.ctx, ast.Load) and module.scope_at(node).binder(node.id) is top
    }
