"""JUnit XML: a failed test case per finding, an error per file that could not be checked."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from nnx_migrate.report import Report, location

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """One suite; a single passing case where there is nothing to report."""
    cases = []
    for finding in report.findings:
        path = report.relative(finding.path)
        text = f"{location(finding)}: {finding.message}\n{finding.help}".strip()
        cases.append(
            f'    <testcase name={_attribute(finding.rule)} classname={_attribute(path)} line="{finding.line}">\n'
            f"      <failure message={_attribute(finding.message)}>{_text(text)}</failure>\n"
            "    </testcase>"
        )
    for failed, error in report.ordered_errors:
        cases.append(
            f'    <testcase name="error" classname={_attribute(report.relative(failed))}>\n'
            f"      <error message={_attribute(error.message)}></error>\n"
            "    </testcase>"
        )
    counts = f'tests="{max(1, len(cases))}" failures="{len(report.findings)}" errors="{len(report.errors)}"'
    if not cases:
        cases.append('    <testcase name="nnx-migrate" classname="nnx-migrate"/>')
    body = "\n".join(cases)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="nnx-migrate" {counts}>\n  <testsuite name="nnx-migrate" {counts}>\n'
        f"{body}\n  </testsuite>\n</testsuites>"
    )


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", text))
