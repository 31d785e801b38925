"""Variables in a method: how they are read and written, and what is sown.

`v = self.variable(...)` becomes an attribute that the constructor fills: `v.value` is `self.v[...]`, a write is
`set_value`, which takes any shape and dtype as Linen does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import VariableSite
from nnx_migrate.linen.values import VariableValue
from nnx_migrate.names.nodes import all_below
from nnx_migrate.nnx.writer.methods.caches import CacheEditor
from nnx_migrate.nnx.writer.methods.init_flags import InitFlags
from nnx_migrate.nnx.writer.text import call_text, indentation, one_line
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor

_SIMPLE = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant)


class StateEditor:
    """The edits that concern variables and the initialisation in one method."""

    def __init__(self, analysis: ClassAnalysis, editor: BodyEditor) -> None:
        self.editor, self.source = editor, editor.source
        self.flags = InitFlags(analysis, editor.source)
        self.references = references(analysis)
        self.caches = CacheEditor(analysis, editor)
        self.sown = {node for _, node in analysis.facts.sown}

    def replacement(self, node: ast.AST) -> str | None:
        """The new text of an expression, None where it is none of ours."""
        flag = self.flags.replacement(node, self.editor.text)
        flag = flag if flag is not None else self.caches.replacement(node)
        if flag is not None:
            return flag
        if isinstance(node, ast.Attribute) and node.attr == "value" and node.value in self.references:
            return read_text(self.references[node.value])
        if node in self.references:
            raise Refuse("unsupported-syntax", "a variable is handed on as a whole", node)
        return self._sow(node) if isinstance(node, ast.Call) and node in self.sown else None

    def statement(self, statement: ast.stmt) -> list[Edit] | None:
        """The edits of a statement, None where it is none of ours."""
        if isinstance(statement, ast.If):
            return self.flags.unfolded(statement, self.editor.statement, self.editor.removal)
        made = self.caches.statement(statement)
        if made is not None:
            return made
        if isinstance(statement, ast.Expr) and statement.value in self.references:
            return [self.editor.removal(statement)]
        return self._write(statement)

    def definitions(self, body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
        """The statements that give a name to a condition which is always the same."""
        for node in (n for statement in body for n in all_below(statement)):
            if isinstance(node, ast.stmt) and self.flags.is_definition(node):
                yield node

    def written_by(self, statement: ast.stmt) -> VariableSite | None:
        """The variable that a statement writes: `v.value = x`, `v.value += x`."""
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
            targets = [statement.target]
        written = [
            self.references[node.value]
            for target in targets
            for node in all_below(target)
            if isinstance(node, ast.Attribute) and node.attr == "value" and node.value in self.references
        ]
        if not written:
            return None
        if (
            len(targets) != 1
            or not isinstance(targets[0], ast.Attribute)
            or isinstance(statement, ast.AnnAssign)
        ):
            raise Refuse(
                "unsupported-syntax", "a variable is written together with something else", statement
            )
        return written[0]

    def _write(self, statement: ast.stmt) -> list[Edit] | None:
        variable = self.written_by(statement)
        if variable is None:
            return None
        assert isinstance(statement, ast.Assign | ast.AugAssign)
        (start, end), value = self.source.span(statement), statement.value
        setter, text = f"self.{variable.attribute}.set_value", self.editor.text(statement.value)
        if isinstance(statement, ast.AugAssign):
            operand = text if isinstance(value, _SIMPLE) else f"({text})"
            between = self.source.text[self.source.span(statement.target)[1] : self.source.span(value)[0]]
            text = f"{read_text(variable)} {between.strip().partition('=')[0]} {operand}"
        if isinstance(statement, ast.AugAssign) or statement.lineno == statement.end_lineno:
            indent = indentation(self.source, statement.lineno)
            return [Edit(start, end, call_text(setter, [text], indent, "", line_limit(self.source)))]
        inside = self.editor.expression_edits(value)
        after = self.source.text.index("=", self.source.span(statement.targets[0])[1]) + 1
        after += len(self.source.text[after:]) - len(self.source.text[after:].lstrip(" "))
        if self.source.text[after] == "(" and self.source.span(value)[1] < end:  # the call takes them over
            return [Edit(start, after + 1, f"{setter}("), *inside]
        return [Edit(start, after, f"{setter}("), *inside, Edit(end, end, ")")]

    def _sow(self, call: ast.Call) -> str:
        """`self.sow("intermediates", name, value)` with NNX's name of the collection."""
        text = self.editor.text
        rest = [text(argument) for argument in call.args[1:]]
        rest += [f"{k.arg}={text(k.value)}" for k in call.keywords if k.arg != "col"]
        nnx = self.editor.names.nnx()
        return self.editor.calls.call_text(call, [f"{nnx}.Intermediate", *map(one_line, rest)])


def references(analysis: ClassAnalysis) -> dict[ast.AST, VariableSite]:
    """The expressions that stand for a variable made by `self.variable`. Raises Refuse where one has several."""
    found: dict[ast.AST, VariableSite] = {}
    for (_, node), value in analysis.facts.values.items():
        if isinstance(value, VariableValue) and value.site is not None:
            if found.setdefault(node, value.site) is not value.site:
                raise Refuse("unsupported-syntax", "one expression stands for several variables", node)
    return found


def read_text(variable: VariableSite) -> str:
    """The value of a variable: an array by `[...]`, anything else by `get_value`."""
    is_array = isinstance(variable.value, Array) and not variable.value.weak
    return f"self.{variable.attribute}{'[...]' if is_array else '.get_value()'}"
