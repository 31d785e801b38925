"""Comments are the user's words: a fix that would lose one is no safe fix."""

from __future__ import annotations

import io
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from nnx_migrate.engine.findings import FileChange, Finding, Fix, Safety
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project


def judged(findings: Iterable[Finding], project: Project) -> Iterator[Finding]:
    """The findings; a fix that loses a comment needs a look, one that would write into a comment is none."""
    seen: dict[int, tuple[Fix | None, str]] = {}  # several findings may share a fix: they go on doing so
    for finding in findings:
        fix = finding.fix
        if fix is None:
            yield finding
            continue
        if id(fix) not in seen:
            seen[id(fix)] = _judged(fix, project)
        known, lost = seen[id(fix)]
        if known is None:
            yield finding.without_fix(
                "comment-in-the-way", "move the comments out of these expressions first"
            )
        elif known is fix:
            yield finding
        else:
            help = f"the fix would lose {lost}: move that out of the way first, or take the fix and write it anew"
            yield replace(finding, fix=known, safety=known.safety, reason="comment-lost", help=help)


def _judged(fix: Fix, project: Project) -> tuple[Fix | None, str]:
    """The fix as far as it can be trusted, None where it can't be made, with the comment that it would lose."""
    lost = ""
    for path, change in fix.changes.items():
        module = project.module(path)
        if module is None:
            continue
        if _writes_into_comment(module, change):
            return None, ""
        lost = lost or next((f"`{comment}` of {path.name}" for comment in _lost(module, change)), "")
    unsafe = lost and fix.safety is Safety.SAFE
    return (replace(fix, safety=Safety.UNSAFE) if unsafe else fix), lost


def _writes_into_comment(module: Module, change: FileChange) -> bool:
    """True where new code would stand behind a `#`, and so be none."""
    text = module.source.text
    suspects = [e for e in change.edits if e.new and "#" in text[_line_start(text, e.start) : e.start]]
    return bool(suspects) and any(
        offset < edit.start <= offset + len(comment) and not edit.new.startswith(("\n", "\r"))
        for offset, comment in _comments(module)
        for edit in suspects
    )


def _line_start(text: str, offset: int) -> int:
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def _lost(module: Module, change: FileChange) -> Iterator[str]:
    text = module.source.text
    spans = [(e.start, e.end) for e in change.edits if "#" in text[e.start : e.end]]
    if not spans:
        return
    gone = Counter(
        comment.rstrip()  # blanks at the end of a line are no words
        for offset, comment in _comments(module)
        if any(start <= offset and offset + len(comment) <= end for start, end in spans)
    )
    for comment, count in gone.items():
        if sum(edit.new.count(comment) for edit in change.edits) < count:
            yield comment


def _comments(module: Module) -> Iterator[tuple[int, str]]:
    """(offset, text) of each comment."""
    readline = io.StringIO(module.source.text, newline="").readline
    try:
        for token in tokenize.generate_tokens(readline):
            if token.type == tokenize.COMMENT:
                yield module.source.line_start(token.start[0]) + token.start[1], token.string
    except (tokenize.TokenError, SyntaxError):
        return
