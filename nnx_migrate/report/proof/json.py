"""JSON: one document with every check of every model."""

from __future__ import annotations

import json

from nnx_migrate.verification.verdicts import Result


def render(result: Result) -> str:
    """The document as text."""
    document = {
        "failed": result.failed,
        "models": [verdict.to_json() for verdict in result.verdicts],
        "not_covered": list(result.uncovered),
        "unchanged": list(result.unchanged),
    }
    return json.dumps(document, indent=2)
