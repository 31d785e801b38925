"""Workflow commands that GitHub Actions turns into annotations."""

from __future__ import annotations

from nnx_migrate.report import Report, location


def render(report: Report) -> str:
    """`::warning file=...` per finding, `::error` per file that could not be checked."""
    lines = [
        f"::warning title={_property(f'nnx-migrate ({f.rule})')},file={_property(report.relative(f.path))},"
        f"line={f.line},col={f.column},endLine={f.end_line},endColumn={f.end_column}"
        f"::{_data(f'{report.relative(f.path)}:{location(f)}: {f.rule} {f.message}')}"
        for f in report.findings
    ]
    lines += [
        f"::error title=nnx-migrate,file={_property(report.relative(path))},line={error.line or 1}"
        f"::{_data(error.message)}"
        for path, error in report.ordered_errors
    ]
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
