"""What came of the comparisons, model by model, and over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.verification.cases import Case


@dataclass
class Verdict:
    """The result for one case: `proof` is None where it could not be compared, for `reason`."""

    case: Case
    proof: Proof | None = None
    reason: str = ""
    details: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """It differs, or should have been compared and was not."""
        if self.case.skip:
            return False
        return self.proof is None or not self.proof.proven

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.case.skip:
            return "skipped"
        return self.proof.verdict if self.proof else "not compared"

    @property
    def differing(self) -> list[Check]:
        """The comparisons that were not equal."""
        return [c for c in self.proof.checks if c.status not in ("equal", "skipped")] if self.proof else []

    @property
    def classes(self) -> frozenset[str]:
        """The classes that were compared, or are to be left alone."""
        if self.case.skip:
            return frozenset({self.case.model})
        if self.proof is None or not (self.proof.pairs or self.proof.classes):
            return frozenset()
        return self.proof.classes | {self.case.model}

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        facts: dict[str, Any] = {
            "model": self.case.model,
            "variant": self.case.variant,
            "seconds": round(self.seconds, 1),
            "reason": self.reason,
        }
        if self.case.snippet:
            facts["snippet"] = self.case.snippet
        return {**facts, **(self.proof.to_json() if self.proof else {"verdict": self.word})}


@dataclass
class Result:
    """All verdicts.

    `uncovered` are the converted classes (keys of the parameter map) that no compared model contains, `unchanged`
    the models that were left out because nothing that they import was changed.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    uncovered: Sequence[str] = ()
    unchanged: Sequence[str] = ()

    @property
    def machines(self) -> list[str]:
        """What was computed on."""
        return sorted({v.proof.machine for v in self.verdicts if v.proof is not None and v.proof.machine})

    @property
    def snippets(self) -> list[str]:
        """Tables for the configuration that list what could not be compared."""
        return [v.case.snippet for v in self.verdicts if v.case.snippet and v.case.model in self.uncovered]

    @property
    def failed(self) -> bool:
        """Anything differs, or was converted and not compared, or nothing was compared at all."""
        return not self.verdicts or bool(self.uncovered) or any(v.failed for v in self.verdicts)
