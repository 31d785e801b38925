"""Machine-readable findings."""

from __future__ import annotations

import json
from typing import Any

from nnx_migrate.engine.findings import Finding
from nnx_migrate.report import Report


def render(report: Report) -> str:
    """An object with `findings` and `errors`; the fields are those of `Finding`."""
    data = {
        "version": 1,
        "files": report.files,
        "findings": [_row(report, finding) for finding in report.findings],
        "errors": [
            {
                "path": report.relative(path),
                "line": error.line,
                "column": error.column,
                "message": error.message,
            }
            for path, error in report.ordered_errors
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False)


def _row(report: Report, finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "path": report.relative(finding.path),
        "cell": finding.cell,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "message": finding.message,
        "fix": finding.safety.value,
        "reason": finding.reason,
        "help": finding.help,
    }
