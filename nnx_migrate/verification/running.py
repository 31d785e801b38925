"""Having cases proven, each in processes of its own, and saying what stands in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.process_proof import ROUNDING, prove_in_processes
from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, ChildError
from nnx_migrate.numerics.results import Proof
from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.verification.cases import Case
from nnx_migrate.verification.verdicts import Verdict

_SMALLER = "list the model with smaller `args` or `inputs` in [[tool.nnx-migrate.verify]]"
#: What to do about an error of the user's code, by how the message starts.
_HINTS = {
    "ImportError:": "mend what can't be imported, or replace what isn't needed here with --stub NAME",
    "SyntaxError:": "mend the file",
    "TooLargeError:": f"{_SMALLER}, or raise --max-memory",
    "MemoryError": _SMALLER,
    "XlaRuntimeError:": _SMALLER,
    "JaxRuntimeError:": _SMALLER,
    "TypeError:": "list the model with the right `args` and `inputs` in [[tool.nnx-migrate.verify]]",
    "before was killed": _SMALLER,
    "after was killed": _SMALLER,
    "before took longer": f"{_SMALLER}, or raise --timeout",
    "after took longer": f"{_SMALLER}, or raise --timeout",
}
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
                again = self._prove(case, case.before, platform)
                if again.verdict == "different":
                    return Verdict(case, reason=_UNSTEADY)
        except ChildError as error:
            return self.not_run(case, error)
        if case.snippet:
            proof.notes.append("the code has its values from elsewhere; these were made up: " + case.values)
        return Verdict(case, proof)

    def _prove(self, case: Case, after: ModelSource, platform: str | None = None) -> Proof:
        assert case.before is not None
        return prove_in_processes(
            case.before,
            after,
            self.recorded,
            self.protocol,
            {} if case.tolerance.exact else {"*": case.tolerance},
            self.timeout,
            self.optimize,
            platform,
        )

    def not_run(self, case: Case, error: ChildError) -> Verdict:
        """The verdict where a side can't be imported or built."""
        first = str(error).strip().partition("\n")[0]
        hint = next((text for start, text in _HINTS.items() if first.startswith(start)), "")
        if first.startswith("ModuleNotFoundError:"):
            names = self.missing(case.model)
            stubs = " ".join(f"--stub {name}" for name in names or ["NAME"])
            hint = f"install {', '.join(names) or 'it'}, or do without it: {stubs}"
        reason = self._relative(f"{first}; {hint}" if hint else first)
        return Verdict(case, reason=reason, details=error.details)

    def _relative(self, text: str) -> str:
        """A message in which files are named from the project's folder on."""
        for root in self.roots:
            text = text.replace(f"{root.resolve()}/", "")
        return text


def _rounded(proof: Proof) -> bool:
    """Whether an accelerator's rounding, and nothing else, keeps both sides from being equal."""
    return proof.verdict == "close" and any(check.reason == ROUNDING.reason for check in proof.checks)


def _confirmed(proof: Proof, on_cpu: Proof) -> Proof:
    """The result where rounding was accepted: it counts if both sides are equal on CPU, else that one does."""
    if not on_cpu.proven:
        return on_cpu
    proof.notes.append(f"rounded otherwise on {proof.machine}; on cpu the verdict is {on_cpu.verdict!r}")
    return proof
