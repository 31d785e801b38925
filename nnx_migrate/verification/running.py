"""Having cases proven, each in processes of its own, and saying what stands in the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.judging import NOT_FINITE, Tolerances
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.process_proof import COMPILED, ROUNDING, prove_in_processes
from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, ChildError
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.verification.cases import Case
from nnx_migrate.verification.verdicts import Verdict

_SMALLER = "list the model with smaller `args` or `inputs` in [[tool.nnx-migrate.verify]]"
_RELEASES = (
    "both sides run on {releases}: where the code before needs older ones, mend and commit that first "
    "(`nnx-migrate fix --ignore linen`)"
)
#: What to do about an error of the user's code, by what the message contains; the first that fits counts.
_HINTS = {
    r"RESOURCE_EXHAUSTED|^MemoryError|^was killed": _SMALLER,
    r"^TooLargeError": f"{_SMALLER}, or raise --max-memory",
    r"^took longer": f"{_SMALLER}, or raise --timeout",
    r"^SystemExit": "put what the file does as a program behind `if __name__ == '__main__':`",
    r"^SyntaxError|^IndentationError": "mend the file",
    r"^(ImportError|AttributeError).*\b(jax|flax|optax|orbax)\b": _RELEASES,
    r"^ImportError": "mend what can't be imported, or replace what isn't needed here with --stub NAME",
    r"^TypeError": "list the model with the right `args` and `inputs` in [[tool.nnx-migrate.verify]]",
}
_NOT_FINITE = (
    "what it computes is NaN or infinite on both sides: list it with other `args` or `inputs` in "
    "[[tool.nnx-migrate.verify]]"
)
_UNSTEADY = (
    "the code before differs from itself from one run to the next (unseeded NumPy, time, hash order?): nothing can "
    "be concluded until it is deterministic"
)


@dataclass(frozen=True)
class Runner:
    """Proves cases. For `timeout` (of each side) and `optimize` see `run_child`.

    `roots` are the project's folders before and after; `missing` names the packages that a class's module imports
    and that aren't installed.
    """

    recorded: ParameterMap | None
    protocol: Protocol
    timeout: float = DEFAULT_TIMEOUT
    optimize: bool = False
    roots: Sequence[Path] = ()
    missing: Callable[[str], Sequence[str]] = lambda model: ()

    def run(self, case: Case) -> Verdict:
        """One case."""
        start = time.perf_counter()
        verdict = self._verdict(case)
        if verdict.proof is not None:
            verdict.proof.notes = list(dict.fromkeys(map(self._relative, verdict.proof.notes)))
        verdict.seconds = time.perf_counter() - start
        return verdict

    def _verdict(self, case: Case) -> Verdict:
        if case.skip or case.before is None or case.after is None:
            return Verdict(case, reason=case.skip or case.missing)
        try:
            proof, platform = self._prove(case, case.after), None
            if _rounded(proof):
                platform = "cpu"
                proof = _confirmed(proof, self._prove(case, case.after, platform))
            if proof.verdict == "different":
                proof = self._without_jit(case, proof, platform)
            if proof.verdict == "different":
                again = self._prove(case, case.before, platform)
                if again.verdict == "different":
                    return Verdict(case, reason=_UNSTEADY)
        except ChildError as error:
            return self.not_run(case, error)
        if case.snippet:
            proof.notes.append("the code has its values from elsewhere; these were made up: " + case.values)
        if case.smaller:
            proof.notes.append(
                f"a large model in smaller sizes ({case.smaller}); --full-size has the code's own"
            )
        not_finite = any(check.reason == NOT_FINITE for check in proof.checks)
        return Verdict(case, proof, reason=_NOT_FINITE if not_finite else "")

    def _without_jit(self, case: Case, proof: Proof, platform: str | None) -> Proof:
        """The result with what XLA may round granted, where all that differs does so under jit, not without it."""
        assert case.after is not None
        if not case.tolerance.exact or not all(_is_compiled(c) for c in proof.checks if _is_off(c)):
            return proof
        both = replace(self.protocol, modes=("jit", "eager"))
        granted = self._prove(case, case.after, platform, COMPILED, both)
        shown = {
            c.name.rpartition("/")[2] for c in granted.checks if c.status == "equal" and "/eager" in c.name
        }
        return granted if granted.proven and "output" in shown else proof

    def _prove(
        self,
        case: Case,
        after: ModelSource,
        platform: str | None = None,
        tolerances: Tolerances | None = None,
        protocol: Protocol | None = None,
    ) -> Proof:
        assert case.before is not None
        return prove_in_processes(
            case.before,
            after,
            self.recorded,
            protocol or self.protocol,
            tolerances or ({} if case.tolerance.exact else {"*": case.tolerance}),
            self.timeout,
            self.optimize,
            platform,
        )

    def not_run(self, case: Case, error: ChildError) -> Verdict:
        """The verdict where a side can't be imported or built."""
        side = "after" if error.action == "after" else "before"
        first = str(error).strip().partition("\n")[0]
        parts = [f"{side} the migration: {self._relative(first)}", self._hint(case, str(error))]
        return Verdict(case, reason="; ".join(filter(None, parts)), details=error.details)

    def _hint(self, case: Case, error: str) -> str:
        """What to do about an error."""
        if error.startswith("ModuleNotFoundError:"):
            names = self.missing(case.model)
            stubs = " ".join(f"--stub {name}" for name in names or ["NAME"])
            return f"install {', '.join(names) or 'it'}, or do without it: {stubs}"
        hint = next((text for pattern, text in _HINTS.items() if re.search(pattern, error)), "")
        return hint.format(releases=", ".join(f"{name} {version(name)}" for name in ("flax", "jax", "optax")))

    def _relative(self, text: str) -> str:
        """A message in which files are named from the project's folder on."""
        for root in self.roots:
            text = text.replace(f"{root.resolve()}/", "")
        return text


def _is_off(check: Check) -> bool:
    return check.status not in ("equal", "skipped")


def _is_compiled(check: Check) -> bool:
    """Whether it is a difference (no error) of a run under jit."""
    return check.status == "different" and "/jit" in check.name


def _rounded(proof: Proof) -> bool:
    """Whether an accelerator's rounding, and nothing else, keeps both sides from being equal."""
    return proof.verdict == "close" and any(check.reason == ROUNDING.reason for check in proof.checks)


def _confirmed(proof: Proof, on_cpu: Proof) -> Proof:
    """The result where rounding was accepted: it counts if both sides are equal on CPU, else that one does."""
    if not on_cpu.proven:
        return on_cpu
    proof.notes.append(f"rounded otherwise on {proof.machine}; on cpu the verdict is {on_cpu.verdict!r}")
    return proof
