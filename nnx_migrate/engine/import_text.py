"""Editing the text of one import statement."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from nnx_migrate.names.modules import Module
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit, SourceText

ImportNode = ast.Import | ast.ImportFrom
_LINE_END = re.compile(r"\r\n|\r|\n")
#: The line that opens a block, and what stands empty at its beginning.
_BLOCK_HEAD = re.compile(r"(?:^|[\r\n])[^#\r\n]*:[ \t]*(?:\r\n|\r|\n)$")
_BLANK_LINES = re.compile(r"(?:[ \t]*(?:\r\n|\r|\n))+")


def rename_module(module: Module, node: ImportNode, alias: ast.alias | None, name: str) -> Edit:
    """Change the module that a statement imports: `alias.name` of `import`, the `from` part otherwise."""
    source = module.source
    if isinstance(node, ast.Import):
        assert alias is not None
        start = source.span(alias)[0]
        return Edit(start, start + len(alias.name), name)
    start = source.span(node)[0]
    match = re.compile(r"from\s+([\w.]+(?:\s*\.\s*\w+)*)").match(source.text, start)
    assert match is not None
    return Edit(match.start(1), match.end(1), name)


def drop_names(module: Module, node: ImportNode, gone: list[ast.alias]) -> list[Edit]:
    """Remove some, not all, of a statement's names."""
    if not gone:
        return []
    if _is_one_line(module, node):
        return [_relist(module, node, [alias for alias in node.names if alias not in gone], [])]
    return [_drop_name(module.source, node, alias) for alias in gone]


def add_names(module: Module, node: ast.ImportFrom, gone: list[ast.alias], added: list[str]) -> list[Edit]:
    """Remove `gone` and add `added` ("scan", "numpy as jnp") to a `from` import."""
    source = module.source
    kept = [alias for alias in node.names if alias not in gone]
    if _is_one_line(module, node) or not kept:
        return [_relist(module, node, kept, added)]
    edits = [_drop_name(source, node, alias) for alias in gone]
    order = _order(node)
    for text in added if order is None else sorted(added, key=order):
        later = [] if order is None else [a for a in kept if order(a.name) > order(text)]
        alone = _stands_alone(source, later[0] if later else kept[-1], node)
        if later:
            start = source.span(later[0])[0]
            indent = source.text[source.line_start(later[0].lineno) : start]
            edits.append(Edit(start, start, f"{text},\n{indent}" if alone else f"{text}, "))
        else:
            start, end = source.span(kept[-1])
            indent = source.text[source.line_start(kept[-1].lineno) : start]
            edits.append(Edit(end, end, f",\n{indent}{text}" if alone else f", {text}"))
    return edits


def drop_statement(module: Module, node: ast.stmt) -> Edit:
    """Remove a statement with its line; a comment behind it stays. The only statement of a block: `pass`."""
    source, text = module.source, module.source.text
    start, end = source.span(node)
    parent = module.parents[node]
    for field in ("body", "orelse", "finalbody"):
        body = getattr(parent, field, None)
        if isinstance(body, list) and node in body and len(body) == 1 and not isinstance(parent, ast.Module):
            return Edit(start, end, "pass")
    line_start = source.line_start(node.lineno)
    semicolon = re.compile(r"[ \t]*;[ \t]*").match(text, end)
    if text[line_start:start].strip():  # `x = 1; import y`
        before = text.rfind(";", 0, start)
        return Edit(before if before >= line_start else start, end, "")
    if semicolon:
        return Edit(start, semicolon.end(), "")
    rest = re.compile(r"[ \t]*(#[^\r\n]*)?(\r\n|\r|\n|$)").match(text, end)
    assert rest is not None
    if rest.group(1):
        return Edit(start, rest.start(1), "")
    if rest.end() == len(text) and not rest.group(2):  # last line, no final newline: take the one before
        previous = re.compile(r"(\r\n|\r|\n)$").search(text[:line_start])
        return Edit(previous.start() if previous else line_start, rest.end(), "")
    return Edit(line_start, rest.end(), "\f" * text.count("\f", line_start, start))  # page breaks stay


def close_up(module: Module, edits: list[Edit]) -> list[Edit]:
    """The edits; what is removed with blank lines above and below takes the one above along.

    What is removed from the head of a block, or of the file, takes the blank lines below along.
    """
    text = module.source.text
    removed = sorted((e for e in edits if not e.new and e.start < e.end), key=lambda e: e.start)
    blank_lines: list[Edit] = []
    for index, edit in enumerate(removed):
        if index and removed[index - 1].end == edit.start:
            continue
        end = edit.end
        for following in removed[index + 1 :]:
            end = following.end if following.start == end else end
        above = re.search(r"(?:\r\n|\r(?!\n)|\n)(\r\n|\r|\n)$", text[: edit.start])
        below = _LINE_END.match(text, end)
        if above and below:
            start = above.start(1)
            if not any(e not in removed and start < e.end and e.start <= end for e in edits):
                blank_lines.append(Edit(start, edit.start, ""))
        elif below and (not text[: edit.start].strip() or _BLOCK_HEAD.search(text[: edit.start])):
            blank = _BLANK_LINES.match(text, end)
            if blank and not any(e not in removed and end <= e.start < blank.end() for e in edits):
                blank_lines.append(Edit(end, blank.end(), ""))
    return edits + blank_lines


def comments_in(module: Module, node: ImportNode) -> bool:
    """True where comments stand between the names of a statement."""
    start, end = module.source.span(node)
    return "#" in module.source.text[start:end]


def _is_one_line(module: Module, node: ImportNode) -> bool:
    """One line, or several joined by backslashes: rewritten as one line."""
    start, end = module.source.span(node)
    text = module.source.text[start:end]
    return not _LINE_END.search(text) or ("(" not in text and "#" not in text)


def _relist(module: Module, node: ImportNode, kept: list[ast.alias], added: list[str]) -> Edit:
    source = module.source
    names = [source.segment(alias) for alias in kept]
    order = _order(node)
    for text in added:
        place = len(names) if order is None else sum(order(name) <= order(text) for name in names)
        names.insert(place, text)
    start, end = source.span(node.names[0])[0], source.span(node.names[-1])[1]
    line = source.line_text(node.lineno)
    longer = len(line) - (end - start) + len(", ".join(names))
    if not added or node.end_lineno != node.lineno or max(len(line), line_limit(source)) >= longer:
        return Edit(start, end, ", ".join(names))
    indent = line[: len(line) - len(line.lstrip())]
    lines = "".join(f"\n{indent}    {name}," for name in names) + f"\n{indent}"
    in_parentheses = source.segment(node).endswith(")")
    return Edit(start, end, lines if in_parentheses else f"({lines})")


Order = Callable[[str], Any]


def _order(node: ImportNode) -> Order | None:
    """The order in which a statement's names stand, if any: of what `import` says ("scan", "numpy as jnp")."""
    names = [alias.name for alias in node.names]
    return next((order for order in (_by_letters, _by_kind) if sorted(names, key=order) == names), None)


def _by_letters(text: str) -> str:
    return text.partition(" as ")[0].strip().lower()


def _by_kind(text: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as isort and Ruff have it."""
    name = text.partition(" as ")[0].strip()
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name.lower()


def _stands_alone(source: SourceText, alias: ast.alias, node: ImportNode) -> bool:
    """True where a name has a line to itself."""
    start = source.span(alias)[0]
    return alias.lineno != node.lineno and not source.text[source.line_start(alias.lineno) : start].strip()


def _drop_name(source: SourceText, node: ImportNode, alias: ast.alias) -> Edit:
    """Remove one name of a multi-line import with its comma, and its line where nothing else is on it."""
    start, end = source.span(alias)
    text = source.text
    comma = re.compile(r"[ \t]*,[ \t]*").match(text, end)
    if comma:
        end = comma.end()
    line_end = _LINE_END.match(text, end)
    line_start = source.line_start(alias.lineno)
    if line_end and not text[line_start:start].strip():
        return Edit(line_start, line_end.end(), "")
    if comma:
        following = node.names[node.names.index(alias) + 1 :]
        next_start = source.span(following[0])[0] if following else end
        return Edit(start, next_start if not text[end:next_start].strip() else end, "")
    previous = text.rfind(",", 0, start)
    return Edit(previous if previous > source.span(node)[0] else start, end, "")
