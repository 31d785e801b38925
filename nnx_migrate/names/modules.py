"""One Python file of a project: its source, syntax tree and scopes, computed when first asked for."""

from __future__ import annotations

import ast
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from nnx_migrate.names.nodes import by_kind
from nnx_migrate.names.parents import Parents
from nnx_migrate.names.scope_builder import build_scopes
from nnx_migrate.names.scopes import COMPREHENSIONS, Guard, Scope, Scopes
from nnx_migrate.sources.text import SourceText, parse

Node = TypeVar("Node", bound=ast.AST)
_SCOPED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class Module:
    """A file with its dotted `name` (unique in the project, importable where the layout allows).

    `tree` raises SourceError where the file isn't valid Python.
    """

    def __init__(self, path: Path, name: str, source: SourceText, words: Collection[str] = ()) -> None:
        self.path, self.name, self.source = path, name, source
        self._words = words
        self._scope_at: dict[ast.AST, Scope] = {}

    def __repr__(self) -> str:
        return f"Module({self.name!r}, {str(self.path)!r})"

    @property
    def is_package(self) -> bool:
        """True for `__init__.py`."""
        return self.path.name == "__init__.py"

    @property
    def is_test(self) -> bool:
        """Whether a test runner would take the file for tests, or for what tests share."""
        stem = self.path.stem
        named = stem.startswith("test_") or stem.endswith("_test") or stem == "conftest"
        return named or self.path.parent.name in {"tests", "test"}

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return parse(self.source, str(self.path))

    @cached_property
    def scopes(self) -> Scopes:
        """All scopes, names read and imports."""
        return build_scopes(self.tree, self.package, self._words)

    @cached_property
    def parents(self) -> Parents:
        """Each node's parent."""
        return Parents(self.tree)

    @cached_property
    def _by_kind(self) -> dict[type[ast.AST], list[ast.AST]]:
        return by_kind(self.tree)

    def nodes(self, kind: type[Node]) -> list[Node]:
        """All nodes of one type, in the order of `ast.walk`."""
        return self._by_kind.get(kind, [])  # type: ignore[return-value]

    def scope_at(self, node: ast.AST) -> Scope:
        """The scope in which `node` is evaluated (decorators, defaults and bases: the surrounding one)."""
        found = self._scope_at.get(node)
        if found is None:
            found = self._scope_at[node] = self._find_scope(node)
        return found

    def _find_scope(self, node: ast.AST) -> Scope:
        child, parent = node, self.parents.get(node)
        came_from_iter = False
        while parent is not None:
            scope = self.scopes.of_node.get(parent)
            if scope is not None:
                if isinstance(parent, _SCOPED):
                    body = parent.body if isinstance(parent.body, list) else [parent.body]
                    if any(child is statement for statement in body):
                        return scope
                elif not (
                    isinstance(parent, COMPREHENSIONS) and came_from_iter and child is parent.generators[0]
                ):
                    return scope
            came_from_iter = isinstance(parent, ast.comprehension) and parent.iter is child
            child, parent = parent, self.parents.get(parent)
        return self.scopes.module

    def is_guarded(self, node: ast.expr) -> bool:
        """True for code that a version check or an `except ImportError` already limits to some releases."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        found = self.scopes.names.get(root.id, ()) if isinstance(root, ast.Name) else ()
        return any(r.node is root and r.guard in (Guard.FALLBACK, Guard.VERSION) for r in found)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that contains `node` (itself, if it is one)."""
        current: ast.AST = node
        while not isinstance(current, ast.stmt):
            current = self.parents[current]
        return current

    def enclosing(self, node: ast.AST, *kinds: type[ast.AST]) -> ast.AST | None:
        """The innermost proper ancestor of one of the given node types."""
        current = self.parents.get(node)
        while current is not None and not isinstance(current, kinds):
            current = self.parents.get(current)
        return current
