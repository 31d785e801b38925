"""What the layer tables answer, with their refusals as the writer's own."""

from __future__ import annotations

from typing import Any

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.nnx.layers import Refusal


def checked(found: Any) -> Any:
    """A result of the layer tables; their refusals become ours."""
    if not isinstance(found, Refusal):
        return found
    reason = {
        "missing-mode-flag": "mode-flag",
        "unknown-axes": "unknown-size",
        "missing-size": "unknown-size",
        "unknown-arguments": "unsupported-syntax",
    }.get(found.code, "unsupported-layer")
    raise Refuse(reason, found.reason, found.node)
