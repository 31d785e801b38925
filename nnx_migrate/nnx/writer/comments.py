"""Comments inside of constructions: the constructor writes these anew, and has the comments above them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import Edit, SourceText

_CONSTRUCTOR = "def __init__("
#: Comments that tell a tool about the line on which they stand.
_PRAGMA = re.compile(r"#\s*(?:noqa|type:|pyright:|mypy:|ruff:|pylint:|pragma:|nosec|fmt: skip)")
_EMPTY_LIST = re.compile(r"[\w.]*\.(?:List|Dict)\(\)")


def with_comments(analysis: ClassAnalysis, module: Module, edits: Sequence[Edit]) -> list[Edit]:
    """The edits of a class, with the comments that they would lose in the constructor, above what they stood in."""
    found = list(edits)
    constructor = next((i for i, edit in enumerate(found) if _CONSTRUCTOR in edit.new), None)
    if constructor is None:
        return found
    made: list[Site | VariableSite] = [*analysis.sites, *analysis.variables]
    bodies = [i for i, edit in enumerate(found) if _is_in_helper(analysis, module.source, edit)]
    above: dict[int, dict[int, list[str]]] = {}
    for offset, comment in _lost(module.source, analysis.cls.node, found):
        index = next((i for i in bodies if found[i].start <= offset < found[i].end), constructor)
        text = found[index].new
        site = _around(module, offset, made)
        line = _line_of(site, text) if site is not None else _line_of_next(module, offset, text)
        if line is None and index != constructor:
            line = 0
        if line is not None:
            above.setdefault(index, {}).setdefault(line, []).append(comment)
    for index, lines in above.items():
        found[index] = replace(found[index], new=_with_lines(found[index].new, lines))
    return found


def _is_in_helper(analysis: ClassAnalysis, source: SourceText, edit: Edit) -> bool:
    """Whether an edit writes the body of a method that makes modules for setup."""
    bodies = [source.span(method.node) for method in analysis.setup_helpers.values()]
    return any(start < edit.start and edit.end == end for start, end in bodies)


def _with_lines(text: str, above: Mapping[int, Sequence[str]]) -> str:
    """The text with comments above the lines that start at these places."""
    for line, comments in sorted(above.items(), reverse=True):
        indent = re.match(r"[ \t]*", text[line:])
        space = indent.group() if indent is not None else ""
        pragmas = [comment for comment in comments if _PRAGMA.match(comment)]
        first = "".join(f"{space}{comment}\n" for comment in comments if comment not in pragmas)
        statement, newline, rest = text[line:].partition("\n")
        behind = "".join(f"  {comment}" for comment in pragmas)
        text = f"{text[:line]}{first}{statement}{behind}{newline}{rest}"
    return text


def _lost(source: SourceText, node: ast.ClassDef, edits: Iterable[Edit]) -> Iterator[tuple[int, str]]:
    """The comments that edits replace and don't write again, in order."""
    spans = [(e.start, e.end) for e in edits if "#" in source.text[e.start : e.end]]
    if not spans:
        return
    written = Counter[str]()
    for offset, comment in _comments(source, node):
        if any(start <= offset and offset + len(comment) <= end for start, end in spans):
            written[comment] += 1
            if sum(edit.new.count(comment) for edit in edits) < written[comment]:
                yield offset, comment


def comments_within(source: SourceText, node: ast.stmt) -> list[str]:
    """The comments inside of a statement: between its brackets, not behind it."""
    start, end = source.span(node)
    if "#" not in source.text[start:end]:
        return []
    return [comment for offset, comment in _comments(source, node) if start <= offset < end]


def _comments(source: SourceText, node: ast.stmt) -> Iterator[tuple[int, str]]:
    """Offset and text of each comment on the lines of a statement."""
    readline = io.StringIO(source.text, newline="").readline
    try:
        for token in tokenize.generate_tokens(readline):
            if token.type == tokenize.COMMENT and node.lineno <= token.start[0] <= (node.end_lineno or 0):
                yield source.line_start(token.start[0]) + token.start[1], token.string.rstrip()
    except (tokenize.TokenError, SyntaxError):
        return


def _around(module: Module, offset: int, made: Iterable[Site | VariableSite]) -> Site | VariableSite | None:
    """What the code creates around a comment: the innermost construction, else the last one in front of it."""
    inside: list[tuple[int, Site | VariableSite]] = []
    before: list[tuple[int, Site | VariableSite]] = []
    for site in made:
        if module.parents.get(site.call) is None:
            continue  # of another file
        _, end = module.source.span(site.call)
        first, last = module.source.span(module.statement_of(site.call))
        calls: list[ast.AST] = [site.call]
        if isinstance(site, Site):  # `nn.vmap(Critic, ...)`, too
            calls += [*(p.call for p in site.partials), *(lift.call for lift in site.lifts)]
        spans = [module.source.span(call) for call in calls if module.parents.get(call) is not None]
        around = [b - a for a, b in spans if a <= offset < b]
        if around:
            inside.append((min(around), site))
        elif end <= offset < last and first <= offset:
            before.append((offset - end, site))
    chosen = inside or before
    return min(chosen, key=lambda pair: pair[0])[1] if chosen else None


def _line_of_next(module: Module, offset: int, text: str) -> int | None:
    """Where the line of constructor code starts that repeats the assignment below a comment."""
    source = module.source
    for statement in module.nodes(ast.Assign):
        start, end = source.span(statement)
        between = source.text[offset:start].splitlines() if start > offset else [""]
        if not all(line.strip().startswith("#") or not line.strip() for line in between) or not between[0]:
            continue
        head = source.text[start:end].partition("\n")[0].partition("(")[0]
        lines = list(re.finditer(rf"^[ \t]*{re.escape(head)}", text, re.MULTILINE))
        return lines[0].start() if len(lines) == 1 else None
    return None


def _line_of(site: Site | VariableSite, text: str) -> int | None:
    """Where the line of constructor code starts that makes what a place creates, or the module that holds it."""
    while True:
        name = re.escape(site.attribute)
        line = re.compile(rf"^[ \t]*self\.{name}(?:\[[^\]\n]*\])*(?:\.append\(| = )", re.MULTILINE)
        for match in line.finditer(text) if name else ():
            if not _EMPTY_LIST.match(text, match.end()):
                return match.start()
        if not isinstance(site, Site) or site.parent_site is None:
            return None
        site = site.parent_site
