"""Branches that come to the same once their modules are made elsewhere: the condition stands in the constructor alone.

    if self.orthogonal_init:
        x = nn.Dense(self.width, kernel_init=orthogonal())(x)
    else:
        x = nn.Dense(self.width)(x)

is `x = self.dense(x)`. What a person wrote twice stays.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from textwrap import dedent, indent

from nnx_migrate.nnx.writer.text import indentation, meaning
from nnx_migrate.sources.text import Edit, SourceText

# Parts of conditions that do nothing but read.
_READING = (
    *(ast.Name, ast.Attribute, ast.Constant, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Subscript, ast.BinOp),
    *(ast.Tuple, ast.List, ast.expr_context, ast.cmpop, ast.boolop, ast.unaryop, ast.operator),
)
_ASKING = frozenset({"isinstance", "len", "callable", "bool"})


def without_alike_branches(source: SourceText, body: Sequence[ast.stmt], edits: Sequence[Edit]) -> list[Edit]:
    """The edits of some statements, with those of such branches in place of their condition."""
    found = _Search(source, list(edits))
    for statement in body:
        found.visit(statement)
    return found.edits


class _Search:
    def __init__(self, source: SourceText, edits: list[Edit]) -> None:
        self.source, self.edits = source, edits
        self.written: dict[ast.If, str] = {}  # what is left of a condition

    def visit(self, node: ast.AST) -> None:
        """What stands below a node first."""
        for child in ast.iter_child_nodes(node):
            self.visit(child)
        if isinstance(node, ast.If) and node.orelse and _only_reads(node.test):
            self._statement(node)

    def _statement(self, node: ast.If) -> None:
        lines = (self.source.line_text(n) for n in range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if any("#" in line or '"""' in line or "'''" in line or line.endswith("\\") for line in lines):
            return
        old = [self._block(branch, []) for branch in (node.body, node.orelse)]
        new = [self._block(branch, self.edits) for branch in (node.body, node.orelse)]
        if None in new or not _became_alike(old, new):
            return
        text = str(new[0])
        is_elif = self.source.segment(node).startswith("elif")
        outer = indentation(self.source, node.lineno)
        inner = indentation(self.source, node.body[0].lineno)
        written = f"else:\n{indent(text, inner)}" if is_elif else indent(text, outer).removeprefix(outer)
        self._put(Edit(*self.source.span(node), written))
        self.written[node] = text

    def _put(self, edit: Edit) -> None:
        inside = [e for e in self.edits if edit.start <= e.start and e.end <= edit.end + 1]
        self.edits = [*(e for e in self.edits if e not in inside), edit]

    def _block(self, block: Sequence[ast.stmt], edits: Sequence[Edit]) -> str | None:
        """The statements of a branch without their indentation; None where edits reach beyond."""
        first = block[0]
        if isinstance(first, ast.If) and first in self.written and edits:
            return self.written[first] if len(block) == 1 else None
        start = self.source.line_start(first.lineno)
        if self.source.text[
            start : self.source.span(first)[0]
        ].strip():  # on the line of the condition, or `elif`
            return None
        end = self.source.line_start((block[-1].end_lineno or block[-1].lineno) + 1)
        text = self._between(start, end, edits)
        return None if text is None else dedent(text).strip("\n")

    def _between(self, start: int, end: int, edits: Sequence[Edit]) -> str | None:
        """A part of the text with its edits."""
        pieces: list[str] = []
        for edit in sorted((e for e in edits if e.end > start and e.start < end), key=lambda e: e.start):
            if edit.start < start or edit.end > end:
                return None
            pieces += (self.source.text[start : edit.start], edit.new)
            start = edit.end
        return "".join([*pieces, self.source.text[start:end]])


def _became_alike(old: Sequence[str | None], new: Sequence[str | None]) -> bool:
    first, second = (meaning(str(text)) for text in new)
    return bool(new[0]) and first == second and meaning(str(old[0])) != meaning(str(old[1]))


def _only_reads(test: ast.expr) -> bool:
    return all(_reads(node) for node in _below(test))


def _below(test: ast.AST) -> Iterator[ast.AST]:
    yield test
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id in _ASKING:
        children: Sequence[ast.AST] = [*test.args, *test.keywords]
    else:
        children = list(ast.iter_child_nodes(test))
    for child in children:
        yield from _below(child)


def _reads(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _ASKING and not node.keywords
    return isinstance(node, _READING)
