"""Small tools for source text: parts of it replaced, joined to one line, wrapped again."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from nnx_migrate.sources.text import SourceText

Replace = Callable[[ast.AST], str | None]


def rewritten(source: SourceText, node: ast.AST, replace: Replace) -> str:
    """The source of `node` with every outermost part replaced for which `replace` gives a text."""
    start, end = source.span(node)
    edits = sorted(replacements(source, node, replace))
    pieces: list[str] = []
    position = start
    for first, last, text in edits:
        pieces += (source.text[position:first], text)
        position = last
    pieces.append(source.text[position:end])
    return "".join(pieces)


def replacements(source: SourceText, node: ast.AST, replace: Replace) -> list[tuple[int, int, str]]:
    """Spans to replace, outermost first."""
    found: list[tuple[int, int, str]] = []
    stack = [node]
    while stack:
        current = stack.pop()
        text = replace(current) if hasattr(current, "lineno") else None
        if text is not None:
            found.append((*source.span(current), text))
        elif isinstance(current, ast.JoinedStr):
            stack.extend(v for v in current.values if isinstance(v, ast.FormattedValue))
        else:
            stack.extend(ast.iter_child_nodes(current))
    return found


def one_line(text: str) -> str:
    """Text of an expression on one line; left alone where a comment or a long string forbids it."""
    if "\n" not in text or "#" in text or '"""' in text or "'''" in text or "\\\n" in text:
        return text
    joined = " ".join(line.strip() for line in text.splitlines())
    joined = re.sub(r"([(\[{]) ", r"\1", joined)
    return re.sub(r",? ([)\]}])", lambda m: m.group(1), joined)


def unwrapped(text: str) -> str:
    """An expression without the parentheses around all of it, which an argument doesn't need."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and index < len(text) - 1:
            return text
    inner = text[1:-1]
    return text if "," in inner or "'" in inner or '"' in inner or " for " in inner else inner


def call_text(
    callee: str, arguments: list[str], indent: str, prefix: str, limit: int, suffix: str = ""
) -> str:
    """`callee(arguments)`, broken after the parenthesis where the line would be longer than `limit`.

    `prefix` is what stands in front of it on the line (without the indentation), `suffix` what follows.
    """
    line = f"{callee}({', '.join(arguments)})"
    if "\n" not in line and len(indent) + len(prefix) + len(line) + len(suffix) <= limit:
        return line
    inner = indent + "    "
    joined = ", ".join(arguments)
    if "\n" not in joined and len(inner) + len(joined) <= limit:
        return f"{callee}(\n{inner}{joined}\n{indent})"
    body = "".join(f"{inner}{argument},\n" for argument in arguments)
    return f"{callee}(\n{body}{indent})"


def line_limit(source: SourceText) -> int:
    """How long lines may get: the file's own habit, between 88 and 120."""
    longest = max((len(line) for line in source.text.splitlines()), default=0)
    return next((usual for usual in (88, 100, 120) if longest <= usual), 100)


def indentation(source: SourceText, line: int) -> str:
    """The white space in front of a line."""
    text = source.line_text(line)
    return text[: len(text) - len(text.lstrip())]


def dedented(text: str, old: str, new: str) -> str:
    """Text whose continuation lines move from one indentation to another."""
    first, *rest = text.split("\n")
    moved = [new + line[len(old) :] if line.startswith(old) else line for line in rest]
    return "\n".join([first, *moved])
