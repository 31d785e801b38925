"""JUnit XML: a suite per model, a test case per comparison."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from nnx_migrate.numerics.results import Check
from nnx_migrate.verification.verdicts import Result, Verdict


def render(result: Result) -> str:
    """The document as text."""
    root = ET.Element("testsuites", name="nnx-migrate verify")
    for verdict in result.verdicts:
        root.append(_suite(verdict))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _suite(verdict: Verdict) -> ET.Element:
    suite = ET.Element("testsuite", name=verdict.case.title, time=f"{verdict.seconds:.1f}")
    if verdict.proof is not None:
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="computed on", value=verdict.proof.machine)
    else:
        case = ET.SubElement(suite, "testcase", name="comparison", classname=verdict.case.title)
        ET.SubElement(case, "error", message=verdict.reason)
    for check in verdict.proof.checks if verdict.proof else ():
        suite.append(_case(check, verdict.case.title))
    counts = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    for name, path in {**counts, "skipped": "testcase/skipped"}.items():
        suite.set(name, str(len(suite.findall(path))))
    return suite


def _case(check: Check, model: str) -> ET.Element:
    case = ET.Element("testcase", name=check.name, classname=model)
    message = "; ".join(filter(None, [str(check.worst) if check.worst else "", check.reason]))
    if check.status == "different":
        ET.SubElement(case, "failure", message=message).text = "\n".join(
            str(leaf) for leaf in check.leaves if leaf.verdict == "different"
        )
    elif check.status in ("error", "skipped"):
        ET.SubElement(case, check.status, message=message)
    return case
