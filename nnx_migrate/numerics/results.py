"""What a proof reports: one `Check` for each comparison, and the verdict over all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nnx_migrate.numerics.compare import LeafComparison
from nnx_migrate.numerics.map_expansion import LeafPair, LeafSpec
from nnx_migrate.numerics.map_patterns import Path

Status = Literal["equal", "close", "different", "error", "skipped"]


@dataclass(frozen=True)
class Check:
    """One comparison, called ``phase/mode/what``; `reason` says why it was skipped, failed or may differ."""

    name: str
    status: Status
    reason: str = ""
    leaves: tuple[LeafComparison, ...] = ()

    @property
    def worst(self) -> LeafComparison | None:
        """The leaf that differs most."""
        rank = {"equal": 0, "close": 1, "different": 2}
        return max(self.leaves, key=lambda c: (rank[c.verdict], c.max_abs or 0.0), default=None)

    def to_json(self) -> dict[str, Any]:
        """For reports; leaves that are equal are only counted."""
        return {
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "leaves": len(self.leaves),
            "differing": [leaf.to_json() for leaf in self.leaves if leaf.verdict != "equal"],
        }


@dataclass
class Proof:
    """The result for one pair of models. `notes` hold what a reader should know beside the verdict.

    `pairs` say which leaf became which, `specs` what the leaves of the second side are, and `classes` (keys of
    the parameter map) which classes its modules have; empty where the comparison did not get that far.
    `platform` ("cpu", "gpu", "tpu") and `device` (its kind) say where processes of their own computed.
    """

    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: Sequence[LeafPair] = ()
    specs: Mapping[Path, LeafSpec] = field(default_factory=dict)
    classes: frozenset[str] = frozenset()
    platform: str = ""
    device: str = ""

    @property
    def verdict(self) -> Status:
        """``equal`` or ``close`` if every check that ran says so; ``skipped`` if none ran."""
        order: tuple[Status, ...] = ("error", "different", "close", "equal", "skipped")
        return next((status for status in order if any(c.status == status for c in self.checks)), "skipped")

    @property
    def machine(self) -> str:
        """Where processes of their own computed: "cpu", "gpu (NVIDIA A100)"."""
        return self.platform if self.device in ("", self.platform) else f"{self.platform} ({self.device})"

    @property
    def proven(self) -> bool:
        """Whether both sides compute the same, within what was stated."""
        return self.verdict in ("equal", "close")

    @property
    def skipped(self) -> list[Check]:
        """What was not compared; every entry has its reason."""
        return [check for check in self.checks if check.status == "skipped"]

    @property
    def parameters(self) -> int:
        """How many trainable numbers the model has."""
        return sum(math.prod(spec.shape) for spec in self.specs.values() if spec.kind == "params")

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        return {
            "verdict": self.verdict,
            "parameters": self.parameters,
            "platform": self.platform,
            "device": self.device,
            "checks": [c.to_json() for c in self.checks],
            "notes": self.notes,
            "parameter_map": [
                {
                    "linen": ["/".join(path) for path in pair.linen],
                    "nnx": ["/".join(path) for path in pair.nnx],
                    "transform": pair.transform.to_json(),
                }
                for pair in self.pairs
            ],
        }

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}"]
        for check in self.checks:
            worst = f" ({check.worst})" if check.worst and check.status in ("close", "different") else ""
            lines.append(
                f"  {check.name}: {check.status}{worst}" + (f": {check.reason}" if check.reason else "")
            )
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])
