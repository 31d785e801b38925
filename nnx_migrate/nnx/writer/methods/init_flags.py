"""Conditions that tell a model's initialisation from later calls, taken out of a method.

`if not self.is_initializing(): ...` keeps its body, one level further left; in `train and not initializing` the
part that is always true goes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import InitFlag
from nnx_migrate.nnx.writer.text import dedented, indentation
from nnx_migrate.sources.text import Edit, SourceText

_ATOMS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Compare, ast.Constant, ast.UnaryOp)


class InitFlags:
    """The flags of one class, by node."""

    def __init__(self, analysis: ClassAnalysis, source: SourceText) -> None:
        self.source = source
        self.found: dict[ast.AST, InitFlag] = {}
        for (_, node), value in analysis.facts.values.items():
            if isinstance(value, InitFlag) and self.found.setdefault(node, value) != value:
                raise Refuse("unsupported-syntax", "an initialisation flag that differs between calls", node)

    def decided(self, node: ast.AST) -> bool | None:
        """What a condition always is in NNX, None where it isn't such a flag or isn't all of the condition."""
        flag = self.found.get(node)
        return flag.later if flag is not None else None

    def replacement(self, node: ast.AST, text: Callable[[ast.AST], str]) -> str | None:
        """The new text of an expression, None where it stays as it is."""
        if isinstance(node, ast.IfExp):
            decided = self.decided(node.test)
            return None if decided is None else _atomic(node.body if decided else node.orelse, text)
        flag = self.found.get(node)
        if flag is None:
            return None
        if flag.later is not None:
            return str(flag.later)
        if isinstance(node, ast.BoolOp):
            rest = [value for value in node.values if self.decided(value) is None]
            word = " or " if isinstance(node.op, ast.Or) else " and "
            return word.join(_atomic(value, text) for value in rest)
        return None

    def is_definition(self, statement: ast.stmt) -> bool:
        """Whether a statement only gives a name to a flag that is always the same."""
        return (
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and self.decided(statement.value) is not None
        )

    def unfolded(
        self,
        statement: ast.If,
        edits_of: Callable[[ast.stmt], list[Edit]],
        removal: Callable[[ast.stmt], Edit],
    ) -> list[Edit] | None:
        """The edits that leave of an `if` only the branch that NNX takes; None where the test stays."""
        decided = self.decided(statement.test)
        if decided is None:
            return None
        kept = statement.body if decided else statement.orelse
        is_elif = self.source.text.startswith("elif", self.source.span(statement)[0])
        if not kept:
            if not is_elif:
                return [removal(statement)]
            first = self.source.line_start(statement.lineno)
            return [Edit(first, self._end(statement), "")]
        if is_elif:
            raise Refuse("unsupported-syntax", "an `elif` that an initialisation decides", statement)
        start, end = self.source.span(statement)
        inner_start, inner_end = self.source.span(kept[0])[0], self.source.span(kept[-1])[1]
        if self.source.text.startswith("elif", inner_start):
            following = Edit(start, inner_start + 2, "")
            return [following, *edits_of(kept[0])] if inner_end == end else None
        first_line = self._first_line(statement if decided else statement.body[-1], kept[0])
        old, new = indentation(self.source, kept[0].lineno), indentation(self.source, statement.lineno)
        if old == new or kept[0].lineno == statement.lineno:
            raise Refuse("unsupported-syntax", "a condition and its body on one line", statement)
        edits = [Edit(e.start, e.end, dedented(e.new, old, new)) for inner in kept for e in edits_of(inner)]
        edits.append(Edit(self.source.line_start(statement.lineno), self.source.line_start(first_line), ""))
        if inner_end < end:
            edits.append(
                Edit(self.source.line_start((kept[-1].end_lineno or 0) + 1), self._end(statement), "")
            )
        return [*edits, *self._moved(kept, first_line, old, new, edits)]

    def _end(self, statement: ast.stmt) -> int:
        return self.source.line_start((statement.end_lineno or 0) + 1)

    def _first_line(self, before: ast.stmt, first: ast.stmt) -> int:
        """The first line of a branch, comments included: what follows the colon of its header."""
        start = self.source.span(before.test if isinstance(before, ast.If) else before)[1]
        between = self.source.text[start : self.source.span(first)[0]]
        code = [line.partition("#")[0] for line in between.split("\n")]
        header = next((i for i, line in enumerate(code) if line.rstrip().endswith(":")), None)
        if header is None:
            raise Refuse("unsupported-syntax", "a condition that can't be taken apart", first)
        return first.lineno - (len(code) - 1 - header) + 1

    def _moved(
        self, kept: list[ast.stmt], first_line: int, old: str, new: str, edits: list[Edit]
    ) -> list[Edit]:
        """The lines of a branch, moved to the left, but for those that begin inside of strings or of edits."""
        inside = {
            line
            for statement in kept
            for node in ast.walk(statement)
            if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno
            for line in range(node.lineno + 1, (node.end_lineno or 0) + 1)
        }
        moved: list[Edit] = []
        for line in range(first_line, (kept[-1].end_lineno or 0) + 1):
            start = self.source.line_start(line)
            if line in inside or any(e.start <= start < e.end for e in edits):
                continue
            if self.source.line_text(line).startswith(old):
                moved.append(Edit(start + len(new), start + len(old), ""))
        return moved


def _atomic(node: ast.expr, text: Callable[[ast.AST], str]) -> str:
    return text(node) if isinstance(node, _ATOMS) else f"({text(node)})"
