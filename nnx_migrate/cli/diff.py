"""Unified diffs of what a fix changes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from nnx_migrate.engine.fixing import FixResult
from nnx_migrate.sources.notebooks import NotebookText
from nnx_migrate.sources.text import Edit, SourceText

_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def render_diff(result: FixResult, color: bool = False) -> str:
    """One diff over all files, new files included; notebooks as the diff of their JSON."""
    lines: list[str] = []
    for path in result.changed:
        lines += _diff(path, _plain(result.before[path]), _plain(result.after[path]))
    for path, text in sorted(result.created.items()):
        lines += _diff(path, "", text)
    if color:
        lines = [click.style(line, fg=_COLORS[line[0]]) if line[0] in _COLORS else line for line in lines]
    return "".join(lines)


def _plain(source: SourceText) -> str:
    return source.raw if isinstance(source, NotebookText) else source.text


def _diff(path: Path, before: str, after: str) -> Iterator[str]:
    name = path.as_posix().removeprefix("/")
    old = before.splitlines(keepends=True)
    for line in difflib.unified_diff(
        old, after.splitlines(keepends=True), f"a/{name}" if old else "/dev/null", f"b/{name}"
    ):
        if line.endswith("\n"):
            yield line
        else:  # an old Mac's line end, or the last line
            yield f"{line}\n" if line.endswith("\r") else f"{line}\n\\ No newline at end of file\n"


def edit_lines(source: SourceText, edits: Sequence[Edit]) -> Iterator[str]:
    """The lines that edits change, as `-` and `+` lines."""
    after = source.with_edits(list(edits))
    for line in difflib.unified_diff(source.text.splitlines(), after.text.splitlines(), n=0, lineterm=""):
        if line[:1] in "+-" and not line.startswith(("+++", "---")):
            yield line
