"""One line per finding."""

from __future__ import annotations

from nnx_migrate.engine.findings import Safety
from nnx_migrate.report import Report, location

MARKS = {Safety.SAFE: "[*] ", Safety.UNSAFE: "[?] ", Safety.MANUAL: ""}


def render(report: Report) -> str:
    """`path:line:column: rule message`; `[*]` marks what `fix` mends, `[?]` what needs `--unsafe-fixes`."""
    lines = [
        f"{report.relative(f.path)}:{location(f)}: {f.rule} {MARKS[f.safety]}{f.message}"
        + (f" ({f.reason})" if f.reason else "")
        for f in report.findings
    ]
    lines += [
        f"{report.relative(path)}:{error.line or 1}:{error.column or 1}: error: {error.message}"
        for path, error in report.ordered_errors
    ]
    return "\n".join(lines)
