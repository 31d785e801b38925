"""`fix`, then `verify`, on real projects, as their owners would run them.

    python -m benchmarks.verify_packages TREE... [--at-least N] [--full] [--keep DIR] [--json]

A TREE is a folder or a source distribution (.tar.gz). Each is copied into a git repository of its own, converted for
the newest Flax whatever its pins say, and verified; where `verify` names packages that aren't installed, it is run
again with the `--stub` options that it proposes. Prints which models were compared and what came of it. Exit code 1
if any differs, or if fewer than N projects had a model compared with all its classes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TARGET = "0.12.8"
LARGEST_FILE = 2_000_000
QUICK = ("--no-eager", "--steps", "2")
#: What a comparison has to contain to count: outputs, gradients, updated state, optimizer steps.
PARTS = ("eval/jit/output", "train/jit/gradients", "train/jit/state", "training/jit/state")


@dataclass
class Outcome:
    """What became of one project: `models` by verdict, `parts` how many comparisons of each of `PARTS` were equal."""

    name: str
    converted: int = 0
    models: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    not_covered: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stubs: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def compared(self) -> int:
        """Models that were proven."""
        return self.models["equal"] + self.models["close"]

    @property
    def differs(self) -> bool:
        """Whether a comparison failed (not: could not be made)."""
        return bool(self.models["different"] or self.models["error"])

    def __str__(self) -> str:
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in self.models.most_common())
        lines = [
            f"{self.name}: {self.converted} classes converted; models: {verdicts or 'none'}; "
            f"{len(self.not_covered)} classes in none; {self.seconds:.0f} s"
            + (f"; stubbed {', '.join(self.stubs)}" if self.stubs else "")
        ]
        if self.parts:
            lines.append("  equal: " + ", ".join(f"{count} {part}" for part, count in self.parts.items()))
        return "\n".join([*lines, *(f"  ! {problem}" for problem in self.problems)])


def copy_project(source: Path, target: Path) -> None:
    """The project in a git repository, committed; large files and its own history are left behind."""
    if source.is_file():
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="data")
    else:
        shutil.copytree(source, target, ignore=_left_behind, symlinks=True)
    author = ("-c", "user.name=nnx-migrate", "-c", "user.email=nobody@example.org")
    for arguments in (["init", "-q"], ["add", "-A", "-f"], [*author, "commit", "-qm", "before"]):
        subprocess.run(["git", *arguments], cwd=target, check=True, capture_output=True)


def _left_behind(folder: str, names: list[str]) -> list[str]:
    def is_large(path: Path) -> bool:
        return path.is_file() and not path.is_symlink() and path.stat().st_size > LARGEST_FILE

    return [name for name in names if name == ".git" or is_large(Path(folder, name))]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`nnx-migrate` in a folder."""
    command = [sys.executable, "-m", "nnx_migrate", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def examine(name: str, folder: Path, options: Sequence[str]) -> Outcome:
    """Convert and verify the project in `folder`."""
    outcome = Outcome(name)
    start = time.monotonic()
    run(folder, "fix", "--no-cache", "--quiet", "--target-flax", TARGET, ".")
    recorded = folder / ".nnx-migrate" / "parameters.json"
    if recorded.is_file():
        outcome.converted = len(json.loads(recorded.read_text())["modules"])
        document = _verified(folder, options, outcome)
        if document is not None:
            _count(document, outcome)
    outcome.seconds = time.monotonic() - start
    return outcome


def _verified(folder: Path, options: Sequence[str], outcome: Outcome) -> dict[str, Any] | None:
    """What `verify` reports; it is run again as long as it proposes to replace packages."""
    while True:
        stubs = [part for name in outcome.stubs for part in ("--stub", name)]
        done = run(folder, "verify", ".", "--output-format", "json", *options, *stubs)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            outcome.problems.append(f"verify ended with {done.returncode}: {done.stderr.strip()[-300:]}")
            return None
        proposed = {
            name for row in document["models"] for name in re.findall(r"--stub ([\w.]+)", row["reason"])
        }
        if not proposed - {*outcome.stubs, "NAME"}:
            return document
        outcome.stubs = sorted({*outcome.stubs, *proposed} - {"NAME"})


def _count(document: dict[str, Any], outcome: Outcome) -> None:
    for row in document["models"]:
        outcome.models[row["verdict"]] += 1
        for check in row.get("checks", ()):
            if check["name"] in PARTS and check["status"] in ("equal", "close"):
                outcome.parts[check["name"]] += 1
            elif check["status"] in ("different", "error"):
                outcome.problems.append(
                    f"{row['model']}: {check['name']} {check['status']} {check['reason']}"
                )
        if row["reason"]:
            outcome.problems.append(f"{row['model']}: {row['reason']}")
    outcome.not_covered = document["not_covered"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="+", type=Path)
    parser.add_argument(
        "--at-least", type=int, default=1, metavar="N", help="projects to have a model compared"
    )
    parser.add_argument("--full", action="store_true", help="also without jit, and five optimizer steps")
    parser.add_argument("--keep", type=Path, help="leave the converted copies in this folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    outcomes = []
    with ExitStack() as stack:
        work = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for tree in options.trees:
            folder = work / tree.name.removesuffix(".tar.gz")
            copy_project(tree, folder)
            outcomes.append(examine(folder.name, folder, () if options.full else QUICK))
            if not options.json:
                print(outcomes[-1], flush=True)
    compared = sum(outcome.compared > 0 for outcome in outcomes)
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        total = sum((outcome.models for outcome in outcomes), Counter[str]())
        print(f"\n{compared} of {len(outcomes)} projects with models compared; models: {dict(total)}")
    return 1 if compared < options.at_least or any(outcome.differs for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
