"""Having the cases proven, one after the other, and saying what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.process_proof import ROUNDING, prove_in_processes
from nnx_migrate.numerics.processes import ChildError
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.verification.cases import Case

#: What to do about an error of the user's code, by the exception's name.
_HINTS = {
    "ModuleNotFoundError": "install what it imports, or replace it with --stub NAME",
    "ImportError": "install what it imports, or replace it with --stub NAME",
    "TooLargeError": "list the model with smaller `args` in [[tool.nnx-migrate.verify]], or raise --max-memory",
    "MemoryError": "list the model with smaller `args` or `inputs` in [[tool.nnx-migrate.verify]]",
    "XlaRuntimeError": "list the model with smaller `args` or `inputs` in [[tool.nnx-migrate.verify]]",
    "TypeError": "list the model with the right `args` and `inputs` in [[tool.nnx-migrate.verify]]",
}


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
        return self.proof is None or not self.proof.proven

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return self.proof.verdict if self.proof else "not compared"

    @property
    def differing(self) -> list[Check]:
        """The comparisons that were not equal."""
        return [c for c in self.proof.checks if c.status not in ("equal", "skipped")] if self.proof else []

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        facts = {"model": self.case.model, "variant": self.case.variant, "seconds": round(self.seconds, 1)}
        if self.proof is None:
            return {**facts, "verdict": "not compared", "reason": self.reason}
        return {**facts, "reason": self.reason, **self.proof.to_json()}


@dataclass
class Result:
    """All verdicts, and the converted classes (keys of the parameter map) that no compared model contains."""

    verdicts: list[Verdict] = field(default_factory=list)
    uncovered: Sequence[str] = ()

    @property
    def machines(self) -> list[str]:
        """What was computed on."""
        return sorted({v.proof.machine for v in self.verdicts if v.proof is not None and v.proof.machine})

    @property
    def failed(self) -> bool:
        """Anything differs, or nothing was compared."""
        return not self.verdicts or any(verdict.failed for verdict in self.verdicts)


def run_cases(
    cases: Iterable[Case], recorded: ParameterMap | None, protocol: Protocol, timeout: float, optimize: bool
) -> Iterator[Verdict]:
    """Proves each case in processes of its own."""
    for case in cases:
        start = time.perf_counter()
        verdict = _prove(case, recorded, protocol, timeout, optimize)
        verdict.seconds = time.perf_counter() - start
        yield verdict


def _prove(
    case: Case, recorded: ParameterMap | None, protocol: Protocol, timeout: float, optimize: bool
) -> Verdict:
    if case.before is None or case.after is None:
        return Verdict(case, reason=case.missing)
    tolerances = {} if case.tolerance.exact else {"*": case.tolerance}

    def prove(after: Any, platform: str | None = None) -> Proof:
        assert case.before is not None
        return prove_in_processes(
            case.before, after, recorded, protocol, tolerances, timeout, optimize, platform
        )

    try:
        proof, platform = prove(case.after), None
        if _rounded(proof):
            platform = "cpu"
            proof = _confirmed(proof, prove(case.after, platform))
        if proof.verdict == "different" and prove(case.before, platform).verdict == "different":
            return Verdict(
                case,
                reason="the code before differs from itself from one run to the next (unseeded NumPy, time, "
                "hash order?): nothing can be concluded until it is deterministic",
            )
    except ChildError as error:
        first, _, rest = str(error).strip().partition("\n")
        hint = next((text for name, text in _HINTS.items() if first.startswith(f"{name}:")), "")
        return Verdict(case, reason=f"{first}; {hint}" if hint else first, details=rest)
    return Verdict(case, proof)


def _rounded(proof: Proof) -> bool:
    """Whether an accelerator's rounding, and nothing else, keeps both sides from being equal."""
    return proof.verdict == "close" and any(check.reason == ROUNDING.reason for check in proof.checks)


def _confirmed(proof: Proof, on_cpu: Proof) -> Proof:
    """The result where rounding was accepted: it counts if both sides are equal on CPU, else that one does."""
    if not on_cpu.proven:
        return on_cpu
    proof.notes.append(f"rounded otherwise on {proof.machine}; on cpu the verdict is {on_cpu.verdict!r}")
    return proof


def uncovered(verdicts: Iterable[Verdict], classes: Iterable[str]) -> list[str]:
    """The classes that are part of no compared model."""
    covered = {
        name
        for verdict in verdicts
        if verdict.proof is not None and verdict.proof.pairs
        for name in (*verdict.proof.classes, verdict.case.model)
    }
    return sorted(set(classes) - covered)
