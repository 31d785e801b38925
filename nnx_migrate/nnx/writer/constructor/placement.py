"""Where the constructor stands in the class, and what goes for it."""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.docstrings import about_class, about_field
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.sources.text import Edit, SourceText


class Placement:
    """Puts the constructor's source into the class."""

    def __init__(self, cls: LinenClass, source: SourceText) -> None:
        self.cls, self.source = cls, source

    def place(self, text: str, setup: Method | None) -> list[Edit]:
        """Put the constructor where the fields stood (else where setup or the first method stands)."""
        edits: list[Edit] = []
        own = self._fields()
        if setup is not None and not own:
            return [self._setup_span(setup, text)]
        only = setup is not None and own and self._first_after(own[-1]) is setup.node and self._is_last(setup)
        if setup is not None and not only:
            edits.append(self.removed_method(setup))
        if own:
            start = self.source.line_start(own[0].lineno)
            end = self.source.line_start((own[-1].end_lineno or 0) + 1)
            between = self._between(own)
            if not all(isinstance(statement, ast.Assign) for statement in between):
                raise Refuse("unsupported-syntax", "other statements stand between the fields", self.cls.node)
            following = self._first_after(own[-1])
            gap = following is None or _first_line(following) > (own[-1].end_lineno or 0) + 1
            tail = "\n" if gap else "\n\n"
            before = self.source.line_text(own[0].lineno - 1).strip()
            lead = (
                "\n"
                if before and own[0].lineno - 1 > self.cls.node.lineno and not before.startswith("#")
                else ""
            )
            about = about_class(self.cls)  # above what it was below
            for lines in ([about] if about is not None else [], between):
                lead += "".join(self._lines(statement) for statement in lines) + ("\n" if lines else "")
            if setup is not None and only:  # nothing behind the class changes
                end, tail = self.source.span(setup.node)[1], ""
            return [*edits, Edit(start, end, lead + text + tail)]
        first = next((m for m in self.cls.node.body if isinstance(m, ast.FunctionDef)), None)
        if first is None:
            end = self.source.line_start((self.cls.node.body[-1].end_lineno or 0) + 1)
            return [*edits, Edit(end, end, "\n" + text + "\n")]
        start = self.source.line_start(_first_line(first))
        return [*edits, Edit(start, start, text + "\n\n")]

    def _first_after(self, node: ast.stmt) -> ast.stmt | None:
        body = self.cls.node.body
        index = body.index(node)
        return body[index + 1] if index + 1 < len(body) else None

    def _fields(self) -> list[ast.stmt]:
        """The statements that declare fields, and the texts about these, which go along with them."""
        found: list[ast.stmt] = []
        for item in self.cls.own_fields:
            found += [item.node, *([text] if (text := about_field(item)) is not None else [])]
        text = about_class(self.cls)
        return [*found, text] if text is not None else found

    def _between(self, own: list[ast.stmt]) -> list[ast.stmt]:
        body = self.cls.node.body
        first, last = body.index(own[0]), body.index(own[-1])
        return [s for s in body[first : last + 1] if s not in own]

    def _lines(self, statement: ast.stmt) -> str:
        """The whole lines of a statement."""
        start, end = self.source.line_span(statement)
        return self.source.text[start:end]

    def _setup_span(self, setup: Method, text: str) -> Edit:
        start, end = self.source.line_span(setup.node)
        if self._is_last(setup):  # nothing behind the class changes
            return Edit(start, self.source.span(setup.node)[1], text)
        return Edit(start, end, text + "\n")

    def _is_last(self, method: Method) -> bool:
        return method.node is self.cls.node.body[-1]

    def removed_method(self, method: Method) -> Edit:
        """Remove a method and the blank lines behind it, or in front of it if nothing follows in the class."""
        first = _first_line(method.node)
        if self._is_last(method):
            start = len(self.source.text[: self.source.line_start(first)].rstrip())
            return Edit(start, self.source.span(method.node)[1], "")
        last = (method.node.end_lineno or 0) + 1
        while last <= self.source.line_count and not self.source.line_text(last).strip():
            last += 1
        return Edit(self.source.line_start(first), self.source.line_start(last), "")


def _first_line(statement: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    decorators = statement.decorator_list if isinstance(statement, ast.FunctionDef | ast.ClassDef) else []
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
