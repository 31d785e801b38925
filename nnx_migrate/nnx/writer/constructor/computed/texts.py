"""The constructor without what calls compute, and the properties that compute it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.construction.variables import read_text, variable_parts
from nnx_migrate.nnx.writer.constructor.computed.slices import Computed, Slice
from nnx_migrate.nnx.writer.constructor.computed.statements import leaves, uses, written
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import (
    call_text,
    dedented,
    indentation,
    replacements,
    rest_of_line,
    rewritten,
)
from nnx_migrate.sources.text import SourceText

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.constructor.setup import SetupWriter
    from nnx_migrate.nnx.writer.naming import Names

TextEdit = tuple[int, int, str]
_TARGET = "\0"


def name_computed(computed: Computed, names: Names) -> None:
    """The attributes that hold the parameters with which properties compute, and what several of these share."""
    known = {variable.name: variable.attribute for variable in computed.stored.values()}
    for variable in (v for made in computed.parameters.values() for v in made):
        if variable.name not in known:
            taken = variable.name in names.taken
            known[variable.name] = names.fresh(f"{variable.name}_param" if taken else variable.name)
        variable.attribute = known[variable.name]
    for one in computed.slices:
        if len(one.names) > 1:
            one.method = names.fresh("_" + "_and_".join(name.strip("_") for name in one.names))


# -- the constructor ----------------------------------------------------------------------------------------


def constructor_edits(
    writer: SetupWriter, body: Sequence[ast.stmt], edits: Callable[[ast.stmt], list[TextEdit]]
) -> Iterator[TextEdit]:
    """The edits of a block of `setup`; `edits` gives those of a statement that has nothing to do with calls."""
    computed, source = writer.computed, writer.source
    run: list[ast.stmt] = []
    for statement in body:
        if _goes(computed, statement):
            run.append(statement)
            continue
        if run:
            yield _without(source, body, run)
            run = []
        if statement in computed.parameters:
            yield (*source.span(statement), _parameters(writer, statement))
        elif isinstance(statement, ast.If) and _is_touched(computed, statement):
            yield from _condition(writer, statement)
        else:
            yield from edits(statement)
    if run:
        yield _without(source, body, run)


def _goes(computed: Computed, statement: ast.stmt) -> bool:
    """Whether the constructor does without a statement; what only fails in a branch, properties do."""
    inside = list(leaves([statement]))
    return any(leaf in computed.gone for leaf in inside) and all(
        leaf in computed.gone or isinstance(leaf, ast.Raise | ast.Pass) for leaf in inside
    )


def _is_touched(computed: Computed, statement: ast.stmt) -> bool:
    return any(leaf in computed.gone or leaf in computed.parameters for leaf in leaves([statement]))


def _condition(writer: SetupWriter, node: ast.If) -> Iterator[TextEdit]:
    source = writer.source

    def others(statement: ast.stmt) -> list[TextEdit]:
        return replacements(source, statement, writer.replace)

    yield from replacements(source, node.test, writer.replace)
    if all(_goes(writer.computed, statement) for statement in node.body):
        indent = indentation(source, node.body[0].lineno)
        start, end = _without(source, node.body, node.body)[:2]
        yield start, end, f"{indent}pass\n"
    else:
        yield from constructor_edits(writer, node.body, others)
    if node.orelse and all(_goes(writer.computed, statement) for statement in node.orelse):
        # with its `else:`
        yield source.line_span(node.body[-1])[1], source.line_span(node.orelse[-1])[1], ""
    else:
        yield from constructor_edits(writer, node.orelse, others)


def _without(source: SourceText, body: Sequence[ast.stmt], run: Sequence[ast.stmt]) -> TextEdit:
    """The edit that removes statements, with the comments above them; of the blank lines around, one stays."""
    first = _first_line(source, run[0])
    end = source.line_span(run[-1])[1]
    before, behind = source.line_text(first - 1), source.line_text((run[-1].end_lineno or 0) + 1)
    is_first = run[0] is body[0]
    if not behind.strip() and (is_first or not before.strip()):
        end = source.line_start((run[-1].end_lineno or 0) + 2)
    return source.line_start(first), end, ""


def _first_line(source: SourceText, statement: ast.stmt) -> int:
    line = statement.lineno
    while source.line_text(line - 1).strip().startswith("#"):
        line -= 1
    return line


def _parameters(writer: SetupWriter, statement: ast.stmt) -> str:
    """The parameters with which calls compute, one after the other."""
    indent, lines = indentation(writer.source, statement.lineno), list[str]()
    for variable in writer.computed.parameters[statement]:
        prefix = f"self.{variable.attribute} = "
        parts = variable_parts(writer.renderer, variable)
        lines.append(prefix + call_text(*parts, indent, prefix, writer.limit))
    return f"\n{indent}".join(lines)


# -- the properties -----------------------------------------------------------------------------------------


def computing_texts(computed: Computed, names: FileNames, outer: str, unit: str) -> list[str]:
    """The properties, and the methods that several of them share."""
    texts: list[str] = []
    for one in computed.slices:
        body = "".join(_Body(computed, one, names, unit).block(computed.body, outer + unit))
        name = one.method or one.names[0]
        decorator = "" if one.method else f"{outer}@property\n"
        texts.append(f"{decorator}{outer}def {name}(self):\n{body}")
        for index, attribute in enumerate(one.names if one.method else ()):
            value = f"self.{one.method}()[{index}]"
            texts.append(f"{outer}@property\n{outer}def {attribute}(self):\n{outer}{unit}return {value}\n")
    return texts


class _Body:
    """Writes the statements that lead to an attribute."""

    def __init__(self, computed: Computed, one: Slice, names: FileNames, unit: str) -> None:
        self.computed, self.one, self.names, self.unit = computed, one, names, unit
        self.source = names.module.source
        self.locals = {name for leaf in leaves(computed.body) for name in written(leaf)[0]}
        self.known = {name for leaf in one.needed for name in written(leaf)[0]}
        made = [v for variables in computed.parameters.values() for v in variables]
        self.calls = {variable.call: variable for variable in made}

    def block(self, body: Sequence[ast.stmt], indent: str) -> Iterator[str]:
        """The lines of a block."""
        for statement in body:
            if isinstance(statement, ast.If) and any(leaf in self.one.needed for leaf in leaves([statement])):
                yield from self._comments(statement, indent)
                yield from self._condition(statement, indent, "if")
            elif statement in self.one.needed:
                yield from self._comments(statement, indent)
                yield f"{indent}{self._statement(statement, indent)}\n"

    def _condition(self, node: ast.If, indent: str, word: str) -> Iterator[str]:
        test = dedented(self._text(node.test), indentation(self.source, node.lineno), indent)
        test = f"({test})" if "\n" in test else test  # its own are no part of it
        yield f"{indent}{word} {test}:{self._comment_behind(node.test)}\n"
        yield from self._branch(node.body, indent + self.unit)
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If) and self._is_elif(node.orelse[0]):
            if self._has_part(node.orelse):
                yield from self._condition(node.orelse[0], indent, "elif")
        elif self._has_part(node.orelse):
            yield f"{indent}else:\n"
            yield from self._branch(node.orelse, indent + self.unit)

    def _branch(self, body: Sequence[ast.stmt], indent: str) -> Iterator[str]:
        lines = list(self.block(body, indent))
        for statement in body:
            if self._fails(statement):
                lines += [
                    *self._comments(statement, indent),
                    f"{indent}{self._statement(statement, indent)}\n",
                ]
        yield from lines or [f"{indent}pass\n"]

    def _has_part(self, body: Sequence[ast.stmt]) -> bool:
        return any(leaf in self.one.needed or self._fails(leaf) for leaf in leaves(body))

    def _fails(self, statement: ast.stmt) -> bool:
        """Whether a statement raises an error that says nothing of what isn't known here."""
        reads = uses(ast.walk(statement)).names & self.locals
        return isinstance(statement, ast.Raise) and reads <= self.known

    def _is_elif(self, node: ast.If) -> bool:
        return self.source.text[self.source.span(node)[0] :].startswith("elif")

    def _comments(self, statement: ast.stmt, indent: str) -> Iterator[str]:
        for line in range(_first_line(self.source, statement), statement.lineno):
            yield f"{indent}{self.source.line_text(line).strip()}\n"

    def _comment_behind(self, node: ast.AST) -> str:
        found = re.match(r"[ \t:)]*(#.*)", rest_of_line(self.source, self.source.span(node)[1]))
        return f"  {found[1].rstrip()}" if found else ""

    def _statement(self, statement: ast.stmt, indent: str) -> str:
        text = dedented(self._text(statement), indentation(self.source, statement.lineno), indent)
        text += self._comment_behind(statement)
        return re.sub(rf"^{_TARGET}\s*=\s*", "return ", text)

    def _text(self, node: ast.AST) -> str:
        return rewritten(self.source, node, self._replace)

    def _replace(self, node: ast.AST) -> str | None:
        variable = self.calls.get(node)  # type: ignore[call-overload]
        if variable is not None:
            return read_text(self.names, variable, f"self.{variable.attribute}")
        if isinstance(node, ast.Attribute | ast.Tuple) and isinstance(node.ctx, ast.Store):
            parts = node.elts if isinstance(node, ast.Tuple) else [node]
            return _TARGET if all(map(is_of_self, parts)) else None
        if is_of_self(node) and node.attr in self.computed.stored:
            variable = self.computed.stored[node.attr]
            around = self.names.module.parents.get(node)
            is_part = isinstance(around, ast.Subscript) and around.value is node and not variable.has_axes
            if is_part:
                return f"self.{node.attr}"
            return read_text(self.names, variable, f"self.{node.attr}")
        return self.names.replacement(node)
