"""`check` and `fix` over programs that nobody wrote, held to the promises of `robustness.py`.

    python -m benchmarks.fuzz --count 2000 --seed 7      # mutated real files
    python -m benchmarks.fuzz --grammar 500 --seed 7     # programs drawn from Python's grammar (hypothesmith)

Real files are the fixtures' and, with `--from`, those of other folders. The same seed gives the same programs. A
program that breaks a promise is printed with its number and kept in `--keep`; `--only N` runs that one again.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.oddities import DAMAGE, LAYOUT, notebook, spliced
from benchmarks.robustness import Outcome, examine

ROOT = Path(__file__).parents[1]

# Programs of the grammar know no library: these lines give the rules something to look at beside them.
OUTDATED = (
    b"import jax\nfrom jax import tree_map, numpy as jnp\nfrom jax.config import config\n",
    b"def f(x):\n    return jax.tree_map(lambda y: jnp.clip(y, a_min=0), tree_map(id, x))\n",
    b"print(jax.host_id(), jnp.in1d([1], [1]), jax.tree_leaves({}), config.jax_enable_x64)\n",
)


def real_files(folders: list[Path]) -> list[bytes]:
    """Contents of the Python files of folders, in the order of their paths; long ones are left out."""
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    contents = (file.read_bytes() for file in files)
    return [data for data in contents if len(data) < 30_000]


def mutated(files: list[bytes], seed: int, number: int) -> tuple[bytes, bool]:
    """Program `number` of a seed, and whether it is a notebook."""
    choice = random.Random(f"{seed}-{number}")
    data = choice.choice(files)
    if choice.random() < 0.15:
        data = spliced(data, choice.choice(files), choice)
    for mutation in choice.sample([*LAYOUT, *LAYOUT, *DAMAGE], choice.randint(1, 3)):
        data = mutation(data, choice)
    if choice.random() < 0.1:
        return notebook(data, choice), True
    return data, False


def judge(programs: list[tuple[bytes, bool]], folder: Path, *, unsafe: bool) -> Outcome:
    """Examine programs as the files of one project."""
    for number, (data, is_notebook) in enumerate(programs):
        (folder / f"m{number}{'.ipynb' if is_notebook else '.py'}").write_bytes(data)
    return examine(folder, unsafe=unsafe)


def grammar_programs(count: int, seed: int) -> Iterator[bytes]:
    """Programs drawn from Python's grammar, with lines for the rules in front, behind or between."""
    import hypothesis
    import hypothesmith

    drawn: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(hypothesmith.from_grammar())
    def draw(program: str) -> None:
        drawn.append(program)

    draw()
    choice = random.Random(seed)
    for program in drawn:
        own = program.encode("utf-8", "replace")
        yield b"\n".join(
            choice.choice(([own, *OUTDATED], [*OUTDATED, own], [OUTDATED[0], own, *OUTDATED[1:]]))
        )


def run(programs: Iterator[tuple[int, tuple[bytes, bool]]], keep: Path | None) -> int:
    """Judge programs one by one; the number of those that break a promise."""
    broken = examined = fixed = 0
    for number, program in programs:
        with tempfile.TemporaryDirectory() as folder:
            outcome = judge([program], Path(folder), unsafe=number % 2 == 1)
        examined += 1
        fixed += bool(outcome.fixes)
        if outcome.problems:
            broken += 1
            print(f"program {number}:", *outcome.problems, sep="\n    ", flush=True)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{number}{'.ipynb' if program[1] else '.py'}").write_bytes(program[0])
    print(f"{examined} programs, {fixed} of them changed by fix, {broken} break a promise")
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--grammar", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--from", dest="folders", type=Path, action="append", default=[])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    programs: Iterator[tuple[int, tuple[bytes, bool]]]
    if options.grammar:
        programs = ((n, (p, False)) for n, p in enumerate(grammar_programs(options.grammar, options.seed)))
    else:
        files = real_files([ROOT / "fixtures", *options.folders])
        numbers = [options.only] if options.only is not None else range(options.count)
        programs = ((n, mutated(files, options.seed, n)) for n in numbers)
    sys.exit(1 if run(programs, options.keep) else 0)


if __name__ == "__main__":
    main()
