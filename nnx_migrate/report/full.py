"""Findings with their source line, a caret, and what to do."""

from __future__ import annotations

from pathlib import Path

import click

from nnx_migrate.engine.findings import Finding
from nnx_migrate.report import Report, location
from nnx_migrate.report.concise import MARKS
from nnx_migrate.sources.files import load_source
from nnx_migrate.sources.text import SourceError, SourceText


def render(report: Report) -> str:
    """A paragraph per finding, in colour where the report says so."""
    sources: dict[Path, SourceText | None] = {}
    parts = [_finding(report, finding, sources) for finding in report.findings]
    parts += [_error(report, path, error) for path, error in report.ordered_errors]
    return "\n\n".join(parts) + "\n" if parts else ""


def _style(report: Report, text: str, **style: object) -> str:
    return click.style(text, **style) if report.color else text  # type: ignore[arg-type]


def _finding(report: Report, finding: Finding, sources: dict[Path, SourceText | None]) -> str:
    place = _style(report, report.relative(finding.path), bold=True) + f":{location(finding)}"
    rule = _style(report, finding.rule, fg="red", bold=True)
    lines = [f"{place}: {rule} {MARKS[finding.safety]}{finding.message}"]
    text = _line(finding, sources)
    if text.strip():
        number = str(finding.line)
        gutter = " " * len(number)
        end = finding.end_column if finding.end_line == finding.line else len(text) + 1
        caret = " " * (finding.column - 1) + "^" * max(1, end - finding.column)
        # the caret line repeats the source's tabs, so that it stands under the right column
        caret = "".join(
            "\t" if a == "\t" and b == " " else b for a, b in zip(text.ljust(len(caret)), caret, strict=False)
        )
        lines += [f"{gutter} |", f"{number} | {text}", f"{gutter} | {_style(report, caret, fg='yellow')}"]
    if finding.help:
        lines.append(f"  = help: {finding.help}")
    if finding.reason:
        lines.append(f"  = not fixed: {finding.reason}")
    return "\n".join(lines)


def _line(finding: Finding, sources: dict[Path, SourceText | None]) -> str:
    if finding.path not in sources:
        try:
            sources[finding.path] = load_source(finding.path)
        except (OSError, SourceError):
            sources[finding.path] = None
    source = sources[finding.path]
    return source.line_text(finding.line + source.lines_before(finding.cell)) if source else ""


def _error(report: Report, path: Path, error: SourceError) -> str:
    place = _style(report, report.relative(path), bold=True)
    line = f":{error.line}:{error.column or 1}" if error.line else ""
    return f"{place}{line}: {_style(report, 'error', fg='red', bold=True)}: {error.message}"
