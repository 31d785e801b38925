"""Imports within a method: the constructor repeats those whose names it reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from nnx_migrate.nnx.writer.residual.nodes import Block, Line, Node

_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def needed_imports(body: Sequence[ast.stmt], nodes: Sequence[Node]) -> set[ast.stmt]:
    """The import statements of a method that bring names into the texts of its constructor."""
    imports = [n for s in body for n in ast.walk(s) if isinstance(n, ast.Import | ast.ImportFrom)]
    if not imports:
        return set()
    words = {word for text in _texts(nodes) for word in _WORD.findall(text)}
    return {n for n in imports if words & {_bound(alias) for alias in n.names}}


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _texts(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Block):
            yield node.header
            yield from _texts([*node.body, *node.orelse])
        else:
            yield node.full if isinstance(node, Line) else node.text
