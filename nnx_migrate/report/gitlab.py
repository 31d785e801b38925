"""GitLab's code quality report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from nnx_migrate.report import Report


def render(report: Report) -> str:
    """A JSON array; fingerprints don't depend on line numbers, so that moved findings stay the same ones."""
    seen: Counter[str] = Counter()
    rows = []
    for finding in report.findings:
        path = report.relative(finding.path)
        identity = f"{path}\0{finding.rule}\0{finding.message}"
        seen[identity] += 1
        rows.append(
            {
                "description": finding.message,
                "check_name": finding.rule,
                "fingerprint": hashlib.sha256(f"{identity}\0{seen[identity]}".encode()).hexdigest(),
                "severity": "minor",
                "location": {"path": path, "lines": {"begin": finding.line, "end": finding.end_line}},
            }
        )
    rows += [
        {
            "description": error.message,
            "check_name": "error",
            "fingerprint": hashlib.sha256(f"{path}\0{error.message}".encode()).hexdigest(),
            "severity": "major",
            "location": {
                "path": report.relative(path),
                "lines": {"begin": error.line or 1, "end": error.line or 1},
            },
        }
        for path, error in report.ordered_errors
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)
