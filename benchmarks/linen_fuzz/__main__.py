"""Random Linen classes, converted and held against their originals.

    python -m benchmarks.linen_fuzz --count 500 --seed 7     # classes drawn from a grammar
    python -m benchmarks.linen_fuzz --fixtures --seed 7      # the classes of the fixtures, changed a little
    python -m benchmarks.linen_fuzz --only 113 --seed 7      # one of them again, with all there is to see

Each program runs with Linen first (those that can't are dropped), is converted by `fix`, and is then compared: every
parameter has its counterpart, initial values are drawn alike, and evaluating, training and what they leave behind
compute the same. Failures are printed, shortened as far as they stay failures: WRONG (something else is computed),
BROKEN (the converted code raises) and CRASH (the tool does).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from benchmarks.jax_settings import compile_fast
from benchmarks.linen_fuzz.grammar.classes import program
from benchmarks.linen_fuzz.judging import FAILURES, Verdict, judge
from benchmarks.linen_fuzz.program import Program
from benchmarks.linen_fuzz.recombination import recombined
from benchmarks.linen_fuzz.shrinking import shrink


def generated(seed: int, number: int, *, fixtures: bool = False) -> Program:
    """Program `number` of a seed."""
    return (recombined if fixtures else program)(random.Random(f"{seed}-{number}"))


def show(number: int, program: Program, verdict: Verdict) -> None:
    """A failure, as short as it gets."""
    print(f"\n==== program {number}: {verdict.kind} {verdict.detail}", flush=True)
    small, found = shrink(program, verdict)
    print(f"---- {found.kind} {found.detail}", small.text, sep="\n")
    print("---- becomes", found.after, sep="\n", flush=True)


def main() -> None:
    compile_fast()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--reasons", action="store_true", help="list why programs were not converted")
    parser.add_argument("--fixtures", action="store_true", help="change fixtures instead of drawing classes")
    options = parser.parse_args()
    numbers = [options.only] if options.only is not None else range(options.count)
    kinds, reasons, seen, computed = Counter[str](), Counter[str](), Counter[str](), 0
    start = time.monotonic()
    for number in numbers:
        candidate = generated(options.seed, number, fixtures=options.fixtures)
        verdict = judge(candidate)
        kinds[verdict.kind] += 1
        computed += verdict.run
        if number % 20 == 19:
            print(f"{number + 1} programs: {dict(kinds)}", file=sys.stderr, flush=True)
        reasons.update(set(verdict.reasons))
        if options.only is not None:
            print(candidate.text, verdict.kind, verdict.detail, verdict.reasons, verdict.after, sep="\n")
        elif verdict.failed:
            seen[verdict.signature] += 1
            if seen[verdict.signature] <= 3:
                show(number, candidate, verdict)
    ran = sum(kinds.values()) - kinds["invalid"]
    print(
        f"\n{sum(kinds.values())} programs, {ran} run, {kinds['equal']} converted ({kinds['equal'] / max(ran, 1):.0%})"
    )
    print(f"{computed} had to be computed; {time.monotonic() - start:.0f} s;", dict(kinds))
    if options.reasons:
        for reason, count in reasons.most_common(40):
            print(f"{count:5} {reason}")
    sys.exit(1 if any(kinds[kind] for kind in FAILURES) else 0)


if __name__ == "__main__":
    main()
