"""`--statistics`: how many findings there are, by rule, and by the reason for which a fix left them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nnx_migrate.engine.findings import Finding, Safety

_MARKS = {Safety.SAFE: "[*]", Safety.UNSAFE: "[?]", Safety.MANUAL: "[ ]"}


def counts(findings: Sequence[Finding], output_format: str) -> str:
    """One line for each rule (and reason), most frequent first; a list of objects for the format `json`."""
    found = Counter((finding.rule, finding.reason or "", finding.safety) for finding in findings)
    rows = sorted(found.items(), key=lambda item: (-item[1], item[0][:2]))
    if output_format == "json":
        import json

        objects = [
            {"rule": rule, **({"reason": reason} if reason else {}), "fix": safety.value, "count": count}
            for (rule, reason, safety), count in rows
        ]
        return json.dumps(objects, indent=2)
    width = max((len(str(count)) for _, count in rows), default=1)
    return "\n".join(
        f"{count:>{width}}  {_MARKS[safety]} {rule}{f' ({reason})' if reason else ''}"
        for (rule, reason, safety), count in rows
    )
