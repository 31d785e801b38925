"""The parent of each syntax node, found out where somebody asks."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterator
from typing import overload

from nnx_migrate.names.scopes import child_fields


class Parents:
    """Parents of one tree. `ctx` and operator nodes are shared by the parser, so they have none here.

    A map of all nodes would cost more than the syntax tree, and rules ask about few places. So the file is cut
    into its top-level statements, classes into the statements of their bodies, and each such piece is walked when
    a node of it is asked for.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._known: dict[ast.AST, ast.AST] = {}
        self._pieces: list[ast.stmt] = []
        self._walked: set[ast.stmt] = set()
        self._cut(tree.body, tree)
        self._starts = [_first_line(piece) for piece in self._pieces]

    def __getitem__(self, node: ast.AST) -> ast.AST:
        parent = self.get(node)
        if parent is None:
            raise KeyError(node)
        return parent

    @overload
    def get(self, node: ast.AST) -> ast.AST | None: ...
    @overload
    def get(self, node: ast.AST, default: ast.AST) -> ast.AST: ...
    def get(self, node: ast.AST, default: ast.AST | None = None) -> ast.AST | None:
        """The node around a node; the module, like nodes of another tree, has none."""
        parent = self._known.get(node)
        if parent is None and node is not self._tree:
            for piece in self._pieces_around(node):
                self._walk(piece)
            parent = self._known.get(node)
        return default if parent is None else parent

    def _cut(self, body: list[ast.stmt], parent: ast.AST) -> None:
        for statement in body:
            self._known[statement] = parent
            self._pieces.append(statement)
            if isinstance(statement, ast.ClassDef):
                self._cut(statement.body, statement)

    def _pieces_around(self, node: ast.AST) -> Iterator[ast.stmt]:
        """The pieces that a node may be in: those that cover its line."""
        line = getattr(node, "lineno", None)
        if line is None:  # `ast.arguments`, `ast.comprehension` and the like
            yield from self._pieces
            return
        for index in range(bisect_right(self._starts, line) - 1, -1, -1):
            piece = self._pieces[index]
            if piece.end_lineno is not None and piece.end_lineno < line:
                return
            yield piece

    def _walk(self, piece: ast.stmt) -> None:
        if piece in self._walked:
            return
        self._walked.add(piece)
        known = self._known
        stack: list[ast.AST] = [piece]
        while stack:
            node = stack.pop()
            for name in child_fields(type(node)):
                if name == "body" and isinstance(node, ast.ClassDef) and node is piece:
                    continue  # pieces of their own
                value = getattr(node, name)
                if type(value) is list:
                    for child in value:
                        if child is not None:
                            known[child] = node
                            stack.append(child)
                elif value is not None:
                    known[value] = node
                    stack.append(value)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
