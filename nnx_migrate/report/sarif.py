"""SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import json
from typing import Any

from nnx_migrate import __version__
from nnx_migrate.report import Report, summary_of

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(report: Report) -> str:
    """One run with rules, results and tool notifications."""
    used = sorted({finding.rule for finding in report.findings})
    driver: dict[str, Any] = {
        "name": "nnx-migrate",
        "version": __version__,
        "rules": [_rule(report, name) for name in used],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "results": [
            {
                "ruleId": f.rule,
                "ruleIndex": used.index(f.rule),
                "level": "warning",
                "message": {"text": f"{f.message} {f.help}".strip()},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": report.relative(f.path)},
                            "region": {
                                "startLine": f.line,
                                "startColumn": f.column,
                                "endLine": f.end_line,
                                "endColumn": f.end_column,
                            },
                        }
                    }
                ],
            }
            for f in report.findings
        ],
        "invocations": [
            {
                "executionSuccessful": not report.errors,
                "toolExecutionNotifications": [
                    {
                        "level": "error",
                        "message": {"text": error.message},
                        "locations": [
                            {"physicalLocation": {"artifactLocation": {"uri": report.relative(path)}}},
                        ],
                    }
                    for path, error in report.ordered_errors
                ],
            }
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _rule(report: Report, name: str) -> dict[str, Any]:
    card = report.rules.get(name)
    rule = card.rule if card else None
    documentation = rule.documentation() if rule else {}
    return {
        "id": name,
        "shortDescription": {"text": summary_of(rule) or name},
        "fullDescription": {"text": documentation.get("Why", "") or name},
        "help": {"text": documentation.get("What it finds", "") or name},
    }
