"""All of a project's comparisons: the models that are known, then what of the converted classes is left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.numerics.processes import ChildError
from nnx_migrate.verification.assumed import assumed_case
from nnx_migrate.verification.cases import Case, Cases
from nnx_migrate.verification.running import Runner
from nnx_migrate.verification.scaling import in_small
from nnx_migrate.verification.verdicts import Result, Verdict


class Comparison:
    """Runs the cases one after the other; `result` grows with them.

    Args:
        cases: the project's.
        runner: how they are proven.
        stated: inputs that the configuration states.
        chosen: only models whose title contains one of these; all where there are none.
        assume: whether classes that no known model contains are compared with made up values.
        full_size: whether large models that the code builds are compared in the sizes that it has.
    """

    def __init__(
        self,
        cases: Cases,
        runner: Runner,
        stated: StatedInputs,
        chosen: Sequence[str],
        assume: bool,
        full_size: bool = False,
    ) -> None:
        self.cases, self.runner, self.stated = cases, runner, stated
        self.chosen, self.assume, self.full_size = chosen, assume, full_size
        self.result = Result()

    def run(self) -> Iterator[tuple[str, int]]:
        """Yields what comes next: a title, and how many are known to follow."""
        known = [case for case in self.cases if self._is_chosen(case.title)]
        self.result.unchanged = self.cases.unchanged
        for number, case in enumerate(known):
            yield case.title, len(known) - number - 1
            self.result.verdicts.append(self._compared(case))
        tried = {case.model for case in known}
        left = self._uncovered()
        while self.assume and (waiting := [key for key in left if key not in tried and self._is_chosen(key)]):
            tried.add(waiting[0])
            yield waiting[0], len(waiting) - 1
            self.result.verdicts.append(self._assumed(waiting[0]))
            left = self._uncovered()
        if not self.chosen:
            self.result.uncovered = left

    def _compared(self, case: Case) -> Verdict:
        start = time.perf_counter()
        small = case if self.full_size else in_small(self.cases, case, self.runner.timeout)
        verdict = self.runner.run(small)
        verdict.seconds = time.perf_counter() - start
        return verdict

    def _assumed(self, key: str) -> Verdict:
        try:
            return self._compared(assumed_case(self.cases, key, self.stated, self.runner.timeout))
        except ChildError as error:
            return self.runner.not_run(Case(key), error)

    def _uncovered(self) -> list[str]:
        return self.cases.code.uncovered(self.cases.facts, [v.classes for v in self.result.verdicts])

    def _is_chosen(self, title: str) -> bool:
        return not self.chosen or any(text in title for text in self.chosen)
