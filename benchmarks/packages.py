"""`check` and `fix` over real packages: nothing crashes, every result parses, a second run changes nothing.

    python -m benchmarks.packages                        # the packages of this environment
    python -m benchmarks.packages PATH... [--unsafe]     # folders, or source distributions (.tar.gz)

Works on copies. Prints files, findings, fixes per rule and seconds of each tree; whatever breaks a promise of
`robustness.py` is listed, and the exit code is then 1. `--keep DIR` leaves the fixed copies there, `--diff FILE`
writes what was changed, `--sample N` prints N of the changes, picked by `--seed`, for a person to judge.
"""

from __future__ import annotations

import argparse
import difflib
import random
import re
import shutil
import sys
import sysconfig
import tarfile
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from benchmarks.robustness import Outcome, examine


def installed() -> list[Path]:
    """The packages of this environment, each a tree of its own, as it is a project of its own."""
    folder = Path(sysconfig.get_path("purelib"))
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and any(path.rglob("*.py"))]


def copy_sources(source: Path, target: Path) -> None:
    """The Python files and notebooks of a folder or source distribution (no pins: all rules are to run)."""
    if source.is_file():
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="data")
        return

    def others(folder: str, names: list[str]) -> list[str]:
        return [n for n in names if Path(folder, n).is_file() and not n.endswith((".py", ".ipynb"))]

    shutil.copytree(source, target, ignore=others, symlinks=True, dirs_exist_ok=True)


def diff(before: Path, after: Path, changed: list[Path]) -> str:
    """What was changed, as one patch."""
    pieces = []
    for path in changed:
        name = path.relative_to(after)
        old, new = ((root / name).read_bytes().decode(errors="replace") for root in (before, after))
        pieces += difflib.unified_diff(
            old.splitlines(True), new.splitlines(True), f"{before.name}/{name}", f"{before.name}/{name}"
        )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in pieces)


def sample(patch: str, count: int, seed: int) -> str:
    """Some hunks of a patch, each below the name of its file."""
    files = re.split(r"^--- .*\n\+\+\+ (.*)\n", patch, flags=re.MULTILINE)[1:]
    hunks = [
        (name, hunk)
        for name, body in zip(files[::2], files[1::2], strict=True)
        for hunk in re.split(r"^(?=@@ )", body, flags=re.MULTILINE)
        if hunk
    ]
    chosen = random.Random(seed).sample(hunks, min(count, len(hunks)))
    texts = [f"[{number}] {name}\n{hunk}" for number, (name, hunk) in enumerate(chosen, 1)]
    return "\n".join([f"{len(chosen)} of {len(hunks)} changes (seed {seed})", *texts])


def describe(name: str, outcome: Outcome) -> str:
    """One tree's result, for people."""
    lines = [
        f"{name}: {outcome.files} files ({outcome.unreadable} not Python), "
        f"{outcome.findings.total()} findings, {outcome.fixes.total()} fixed in {len(outcome.changed)} files, "
        f"check {outcome.check_seconds:.1f} s, fix {outcome.fix_seconds:.1f} s"
    ]
    for rule, count in outcome.findings.most_common():
        lines.append(f"    {rule:<28} {count:5d} findings {outcome.fixes[rule]:5d} fixed")
    lines += [f"  ! {problem}" for problem in outcome.problems]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="*", type=Path)
    parser.add_argument("--unsafe", action="store_true", help="apply unsafe fixes as well")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--diff", type=Path)
    parser.add_argument("--sample", type=int, default=0, help="print so many of the changes")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    options = parser.parse_args()
    trees = options.trees or installed()
    total, patch, problems = Counter[str](), "", 0
    with ExitStack() as stack:
        work = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number, tree in enumerate(trees):
            original, target = work / f"{number}-before" / tree.name, work / f"{number}" / tree.name
            copy_sources(tree, original)
            copy_sources(tree, target)
            outcome = examine(target, unsafe=options.unsafe)
            print(describe(tree.name, outcome), flush=True)
            total.update(files=outcome.files, findings=outcome.findings.total(), fixed=outcome.fixes.total())
            problems += len(outcome.problems)
            patch += diff(original, target, outcome.changed)
    if options.diff:
        options.diff.write_text(patch, encoding="utf-8")
    if options.sample:
        print(f"\n{sample(patch, options.sample, options.seed)}")
    print(f"\n{dict(total)}, {problems} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
