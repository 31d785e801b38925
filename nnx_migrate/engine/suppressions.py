"""Suppression comments: `# nnx-migrate: ignore[rule] reason`, `# noqa: rule`, `# nnx-migrate: ignore-file[rule]`.

A comment at the end of a line silences findings on any line of the statement piece that the finding covers; a
comment alone on its line silences the next line. Without brackets all rules are meant. A suppression that
silences nothing is itself a finding (`unused-suppression`); `# noqa` lines are shared with other tools, so only
those that name one of our rules are judged.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from nnx_migrate.engine.findings import FileChange, Finding, Fix, Safety
from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import Edit, SourceText

UNUSED = "unused-suppression"
_OURS = re.compile(r"#\s*nnx-migrate:\s*(?P<kind>ignore-file|ignore)\b(?:\[(?P<rules>[^\]]*)\])?[^#]*")
_NOQA = re.compile(r"#\s*noqa\b(?!\s*:)|#\s*noqa:\s*(?P<rules>[\w-]+(?:[\s,]+[\w-]+)*)", re.IGNORECASE)


@dataclass
class Suppression:
    """One comment. `rules` empty means all; `used` are the rules that it has silenced something of."""

    line: int
    start: int
    end: int
    rules: frozenset[str]
    whole_file: bool
    shared: bool  # a `# noqa`, which other tools read as well
    used: set[str] = field(default_factory=set)

    def silences(self, finding: Finding, first: int, last: int, groups: dict[str, str]) -> bool:
        """True where this comment is about the finding, which covers lines `first`..`last` of the module."""
        if not self.whole_file and not first <= self.line <= last:
            return False
        named = self.rules & {finding.rule, groups.get(finding.rule, "")}
        if self.rules and not named:
            return False
        self.used |= named or {finding.rule}
        return True


def read_suppressions(source: SourceText, known: frozenset[str]) -> list[Suppression]:
    """The suppression comments of a file. `known`: rule ids and groups, to tell our `noqa`s from others'."""
    found: list[Suppression] = []
    for line, column, comment, alone in _comments(source.text):
        offset = source.line_start(line) + column
        ours, noqa = _OURS.search(comment), _NOQA.search(comment)
        match = ours or noqa
        if match is None:
            continue
        rules = frozenset(r for r in re.split(r"[\s,]+", match["rules"] or "") if r)
        if ours is None and rules and known.isdisjoint(rules):
            continue
        where = line + 1 if alone and ours is not None else line
        start, end = offset + match.start(), offset + match.end()
        whole = ours is not None and ours["kind"] == "ignore-file"
        found.append(Suppression(where, start, end, rules, whole, ours is None))
    return found


def _worth_reading(source: SourceText, known: frozenset[str], covered: list[tuple[int, int]]) -> bool:
    """False where no comment can matter, so that the tokenizer needn't run: most `noqa`s are for other tools.

    `covered` are the lines that findings cover.
    """
    if "nnx-migrate:" in source.text:
        return True
    for match in _NOQA.finditer(source.text):
        if match["rules"]:
            if not known.isdisjoint(re.split(r"[\s,]+", match["rules"])):
                return True
        elif covered:
            line, _ = source.position(match.start())
            if any(first <= line <= last for first, last in covered):
                return True
    return False


def _comments(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """(line, column, text, alone on its line) of each comment."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                alone = not token.line[: token.start[1]].strip()
                yield token.start[0], token.start[1], token.string, alone
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return


def apply_suppressions(
    source: SourceText, findings: Iterable[Finding], groups: dict[str, str]
) -> tuple[list[Finding], list[Suppression]]:
    """Findings that no comment silences, and the comments with their use recorded.

    `groups` maps each active rule id to its group.
    """
    shifts = [(f, source.lines_before(f.cell)) for f in findings]
    covered = [(f, f.line + shift, f.end_line + shift) for f, shift in shifts]
    known = frozenset({*groups, *groups.values()})
    if not _worth_reading(source, known, [(first, last) for _, first, last in covered]):
        return [f for f, _, _ in covered], []
    suppressions = read_suppressions(source, known)
    kept: list[Finding] = []
    for finding, first, last in covered:
        # not `any()`: every comment that applies counts as used
        if not sum(s.silences(finding, first, last, groups) for s in suppressions):
            kept.append(finding)
    return kept, suppressions


def unused_suppressions(
    module: Module, suppressions: Iterable[Suppression], active: Collection[str]
) -> list[Finding]:
    """A finding, with a fix, for each comment that silences nothing although the rules it names are active."""
    findings = []
    for suppression in suppressions:
        idle = suppression.rules - suppression.used
        if (suppression.rules and not idle) or (suppression.used and not suppression.rules):
            continue
        if suppression.shared and not suppression.rules:
            continue  # a blanket noqa serves other tools
        if suppression.rules and not idle <= frozenset(active):
            continue  # names a rule that didn't run now
        names = ", ".join(sorted(idle)) or "any rule"
        edit = _removal(module, suppression, idle)
        fix = Fix("remove the comment", Safety.SAFE, {module.path: FileChange((edit,))})
        span = (suppression.start, suppression.end)
        message = f"this comment silences nothing of {names}"
        findings.append(Finding.at(UNUSED, module.path, module.source, span, message, fix=fix))
    return findings


def _removal(module: Module, suppression: Suppression, idle: frozenset[str]) -> Edit:
    text = module.source.text
    piece = text[suppression.start : suppression.end]
    kept = [r for r in re.split(r"[\s,]+", _rules_text(piece)) if r and r not in idle]
    if kept:
        return Edit(suppression.start, suppression.end, piece.replace(_rules_text(piece), ", ".join(kept), 1))
    start, end = suppression.start, suppression.end
    line, _ = module.source.position(start)
    line_start = module.source.line_start(line)
    at_line_end = text[end : end + 1] in ("", "\n", "\r")
    if at_line_end and not text[line_start:start].strip():
        while end < len(text) and text[end] in "\r\n":
            end += 1
            if text[end - 1] == "\n":
                break
        return Edit(line_start, end, "")
    while start > line_start and text[start - 1] in " \t":
        start -= 1
    return Edit(start, end, "" if at_line_end else "  ")


def _rules_text(comment: str) -> str:
    match = _OURS.search(comment) or _NOQA.search(comment)
    return (match["rules"] or "") if match else ""


def suppression_edit(module: Module, line: int, rules: Collection[str]) -> Edit | None:
    """Add `# nnx-migrate: ignore[...]` to a line (`--add-ignores`); None where the line can't take a comment."""
    text = module.source.line_text(line)
    end = module.source.line_start(line) + len(text)
    if text.rstrip().endswith("\\") or _inside_string(module, line):
        return None
    return Edit(end, end, f"  # nnx-migrate: ignore[{', '.join(sorted(rules))}]")


def _inside_string(module: Module, line: int) -> bool:
    """True where the end of the line is inside a multi-line string."""
    import ast

    return any(
        isinstance(node, ast.Constant | ast.JoinedStr) and node.lineno <= line < (node.end_lineno or 0)
        for node in ast.walk(module.tree)
    )
