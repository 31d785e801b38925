"""Does the proof catch broken migrations? Breaks the fixture pairs in every way that `mutants` knows.

    python -m benchmarks.mutations [FIXTURE...] [--limit N] [--seed N] [--json]

For each model of the class fixtures, `after.py` gets one mistake at a time and is compared with `before.py`. A
mutant is caught if the comparison fails or the code raises. What survives is called beside the right `after.py`, on
other inputs: some changes change no number (layers made in another order, a flag that a call overrides), the others
are holes in the proof. Both are printed; exit code 1 while there are holes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jax_settings import compile_fast
from benchmarks.mutants import Mutant, mutants
from nnx_migrate.numerics.compare import Leaves, compare_leaves
from nnx_migrate.numerics.inputs import Alignment, Phase, Protocol
from nnx_migrate.numerics.judging import judge
from nnx_migrate.numerics.map_expansion import MapError
from nnx_migrate.numerics.modules import IsolatedTree, load_file
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.perturb import perturb
from nnx_migrate.numerics.phases import record
from nnx_migrate.numerics.proof import trainable
from nnx_migrate.numerics.recording import Description, Recording
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.numerics.transplant import Translation, correspond, move
from nnx_migrate.numerics.trees import flatten_output, is_array, to_numpy
from tests.linen_module.fixture import Case, cases, convert
from tests.linen_module.sides import linen_side, nnx_side

#: Without jit, as JAX then compiles each operation once and not each mutant.
PROTOCOL = Protocol(modes=("eager",), steps=0)
#: How often a survivor is called with other inputs.
OTHER_INPUTS = 3


@dataclass
class Baseline:
    """The Linen side of a model, its recordings made once."""

    case: Case

    def __post_init__(self) -> None:
        _, conversions = convert(self.case.folder / "before.py")
        self.map = conversions.parameter_map
        self.side = linen_side(self.case, load_file(self.case.folder / "before.py", "before"))
        self.description: Description = self.side.describe()
        self.leaves = perturb(to_numpy(self.description.leaves))
        self.side.load(self.leaves)

    @cached_property
    def _in_order(self) -> Recording:
        return record(self.side, trainable(self.description.specs), PROTOCOL, Alignment())

    def record(self, alignment: Alignment) -> Recording:
        """What the Linen side computes."""
        if alignment == Alignment():
            return self._in_order
        return record(self.side, trainable(self.description.specs), PROTOCOL, alignment)

    @contextmanager
    def loaded(self, text: str) -> Iterator[tuple[NNXSide, Translation]]:
        """A version of `after.py` with the Linen side's variables.

        Raises MapError where it has no place for them, and what it raises when it is imported or built.
        """
        with tempfile.TemporaryDirectory() as name, IsolatedTree(self.case.folder).active():
            file = Path(name) / "mutant.py"
            file.write_text(text, encoding="utf-8")
            side = nnx_side(self.case, load_file(file, "before"))
            description = side.describe()
            expansion = correspond(self.description, description, self.map, side.class_of)
            side.load(move(expansion, self.leaves, description.specs))
            yield side, Translation(expansion, description.specs)

    def prove(self, text: str) -> Proof:
        """Compares with a version of `after.py`. Raises what that raises when it is imported or built."""
        try:
            with self.loaded(text) as (side, translation):
                parameters = trainable(translation.targets)
                again = partial(record, side, parameters, PROTOCOL)
                return judge(self.record, again, translation)
        except MapError as error:
            return Proof([Check("transplant", "error", "; ".join(error.problems))])

    def computes(self, text: str) -> list[Leaves]:
        """Outputs and variables of calls of a version of `after.py`, in every mode, on several inputs."""
        computed = []
        with self.loaded(text) as (side, _):
            phases: list[Phase] = ["eval", *(["train"] if self.case.train else [])]
            for phase, seed in product(phases, range(OTHER_INPUTS)):
                arguments = (side.inputs.args, dict(side.inputs.kwargs(phase)))
                args, kwargs = jax.tree.map(partial(other_numbers, seed), arguments)
                outcome = side.call(side.leaves, seed, args, kwargs, phase, Alignment())
                computed += [flatten_output(outcome.output)[0], outcome.leaves]
        return computed


def other_numbers(seed: int, leaf: Any) -> Any:
    """An input with other numbers of its kind; what is no array stays."""
    if not is_array(leaf):
        return leaf
    random = np.random.default_rng(seed)
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.asarray(random.standard_normal(leaf.shape), leaf.dtype)
    return jnp.asarray(random.permutation(np.asarray(leaf).ravel()).reshape(leaf.shape))


@contextmanager
def lines_reached(name: str) -> Iterator[set[int]]:
    """The lines of a file of that name that run meanwhile."""
    reached: set[int] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(name):
            return None
        reached.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(before)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: the first sign of the mistake, empty for a survivor; whether it changes any number."""

    case: Case
    mutant: Mutant
    sign: str
    changes_numbers: bool = True


def try_case(case: Case, limit: int, seed: int) -> Iterator[Outcome]:
    """Breaks one model in up to `limit` ways (all of them where it is 0)."""
    text = (case.folder / "after.py").read_text(encoding="utf-8")
    baseline = Baseline(case)
    with lines_reached("mutant.py") as reached:
        unbroken = baseline.prove(text)
    assert unbroken.proven, f"{case}: not equal to begin with: {unbroken}"
    # Code of other models in the file is not run here, and can't show anything.
    found = [mutant for mutant in mutants(text) if mutant.line in reached]
    if limit and len(found) > limit:
        found = random.Random(f"{seed}{case}").sample(found, limit)
    right = baseline.computes(text)
    for mutant in found:
        sign = first_sign(baseline, mutant)
        yield Outcome(case, mutant, sign, bool(sign) or differ(right, baseline.computes(mutant.text)))


def differ(first: list[Leaves], second: list[Leaves]) -> bool:
    """Whether any bit of what two versions compute differs."""
    pairs = zip(first, second, strict=True)
    return any(leaf.verdict != "equal" for a, b in pairs for leaf in compare_leaves(a, b))


def first_sign(baseline: Baseline, mutant: Mutant) -> str:
    """Which comparison shows the mistake first, or what it raises; empty if nothing does."""
    try:
        proof = baseline.prove(mutant.text)
    except Exception as error:  # a mistake that stops the program is seen by anybody
        return type(error).__name__
    return next((c.name for c in proof.checks if c.status in ("different", "error")), "")


def main(arguments: Sequence[str] | None = None) -> int:
    compile_fast()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fixtures", nargs="*")
    parser.add_argument("--limit", type=int, default=0, help="at most so many for each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    start, outcomes = time.monotonic(), []
    for case in cases():
        if not options.fixtures or case.folder.name in options.fixtures:
            outcomes += list(try_case(case, options.limit, options.seed))
    holes = [o for o in outcomes if not o.sign and o.changes_numbers]
    idle = [o for o in outcomes if not o.changes_numbers]
    document: dict[str, Any] = {
        "mutants": len(outcomes),
        "change numbers": len(outcomes) - len(idle),
        "caught": sum(bool(o.sign) for o in outcomes),
        "kinds": len({o.mutant.kind for o in outcomes}),
        "first signs": dict(Counter(o.sign for o in outcomes if o.sign).most_common()),
        "survivors": [f"{o.case}: {o.mutant}" for o in holes],
        "change no number": [f"{o.case}: {o.mutant}" for o in idle],
        "seconds": round(time.monotonic() - start),
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        share = document["caught"] / max(1, document["change numbers"])
        print(
            f"{len(outcomes)} mutants of {document['kinds']} kinds; {document['change numbers']} change a number; "
            f"of these {document['caught']} caught ({share:.1%})"
        )
        for sign, count in document["first signs"].items():
            print(f"  {count:4} by {sign}")
        for line in document["survivors"]:
            print(f"  survived: {line}")
        for line in document["change no number"]:
            print(f"  changes no number: {line}")
    return 1 if holes or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
