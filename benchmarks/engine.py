"""Times `check` and `fix` on real trees beside parsers and other tools, in one run, and prints ratios.

    python benchmarks/engine.py                  # the installed jax and flax packages
    python benchmarks/engine.py PATH...          # other trees
    python benchmarks/engine.py --peers DIR      # also TorchFix and Fixit, in virtual environments made in DIR

CPU seconds (user + system, children included) of whole processes, the median of `--runs`, and the largest peak
memory. What is slow is measured on a sample of the files; ratios compare seconds per megabyte. Ruff is taken from
the environment. TorchFix's own prefilter is switched off, as it would skip every file without `torch`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

PARSE_AST = "import ast,sys\nfor f in open(sys.argv[1]): ast.parse(open(f.strip(),'rb').read())"
PARSE_CST = """
import libcst, sys
for name in open(sys.argv[1]):
    libcst.parse_module(open(name.strip(), "rb").read()).bytes
"""
PEERS = {"torchfix": ["--select", "ALL", "-j1", "."], "fixit": ["lint", "."]}
GOALS = [
    ("check, one clean file", "import click", "at most 3"),
    ("check, cold", "ast.parse", "at most 2"),
    ("check, warm", "check, cold", "at most 0.05"),
    ("check, cold", "torchfix", "at most 0.05"),
    ("check, cold", "fixit", "at most 0.05"),
    ("check, cold", "libcst", ""),
    ("check, cold", "ruff, all rules", ""),
    ("fix, every file changed", "libcst", "at most 1.5"),
]
Command = list[str]


def cpu_seconds(command: list[str], cwd: Path | None = None) -> tuple[float, int]:
    """CPU seconds and peak memory in MB of one run of a command."""
    with Path(os.devnull).open("w") as null:
        process = subprocess.Popen(command, stdout=null, stderr=null, cwd=cwd)
        _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def median(command: list[str], runs: int, cwd: Path | None = None) -> tuple[float, int]:
    """Median CPU seconds and the largest peak memory over several runs."""
    results = [cpu_seconds(command, cwd) for _ in range(runs)]
    return statistics.median(seconds for seconds, _ in results), max(memory for _, memory in results)


def installed(package: str) -> Path:
    """The folder of an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed here; name the trees to be measured")
    return Path(spec.origin).parent


def python_files(trees: list[Path]) -> list[Path]:
    """All Python files of the trees."""
    return sorted(file for tree in trees for file in tree.rglob("*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sample", type=int, default=24, help="every how many-th file the slow tools get")
    parser.add_argument(
        "--peers", type=Path, help="folder for the virtual environments of TorchFix and Fixit"
    )
    options = parser.parse_args()
    trees = options.trees or [installed("jax"), installed("flax")]
    print(f"{len(python_files(trees))} files: {' '.join(tree.name for tree in trees)}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), trees, options)


@dataclass(frozen=True)
class Row:
    """One measurement: CPU seconds, peak memory in MB, and over how many MB of source (0: over none)."""

    seconds: float
    memory: int
    source: float = 0.0

    def over(self, other: Row) -> float:
        """The ratio of two costs, per megabyte where both have read source."""
        scale = other.source / self.source if self.source and other.source else 1.0
        return self.seconds / other.seconds * scale


class Table:
    """Measurements by name, printed as they come."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(
        self, name: str, command: Command, runs: int, files: list[Path] | None = None, cwd: Path | None = None
    ) -> None:
        """Run a command; `files` are what it reads."""
        source = sum(file.stat().st_size for file in files) / 1e6 if files else 0.0
        seconds, memory = median(command, runs, cwd)
        self.rows[name] = Row(seconds, memory, source)
        size = f"{source:6.1f} MB read" if source else ""
        print(f"{name:<32}{seconds:9.3f} s CPU {memory:5d} MB memory {size}".rstrip(), flush=True)

    def ratios(self) -> None:
        """Print what the measurements mean."""
        print()
        for one, other, goal in GOALS:
            if one in self.rows and other in self.rows:
                note = f"   (goal: {goal})" if goal else ""
                print(f"{one} / {other}: {self.rows[one].over(self.rows[other]):.4g}{note}")


def _measure(work: Path, trees: list[Path], options: argparse.Namespace) -> None:
    # copies outside of any repository: git and other configurations have no say
    root = work / "trees"
    for tree in trees:
        shutil.copytree(tree, root / tree.name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    files = python_files([root])
    sample = _flat_copy(files[:: options.sample], work / "sample", b"\n# torch\n")
    clean = work / "clean.py"
    clean.write_text("x = 1\n")
    tool, table, runs = [sys.executable, "-m", "nnx_migrate"], Table(), options.runs
    check = [*tool, "check", "-q", "-j1", "--statistics"]
    table.add("import click", [sys.executable, "-c", "import click"], runs + 4)
    cpu_seconds([*check, str(clean)])
    table.add("check, one clean file", [*check, str(clean)], runs + 4)
    table.add("ast.parse", [sys.executable, "-c", PARSE_AST, _listing(files, work)], runs, files)
    table.add("check, cold", [*check, "--no-cache", "."], runs, files, root)
    cpu_seconds([*check, "."], root)
    table.add("check, warm", [*check, "."], runs, files, root)
    if shutil.which("ruff"):
        ruff = ["ruff", "check", "--isolated", "-n", "-q", "--select", "ALL", "."]
        table.add("ruff, all rules", ruff, runs, files, root)
    table.add("libcst", [sys.executable, "-c", PARSE_CST, _listing(sample, work)], 1, sample)
    dirty = _flat_copy(sample, work / "dirty", b"\n\nimport jax as _jax\n_jax.tree_map(print, 1)\n")
    fix = [*tool, "fix", "-q", "-j1", "--no-cache", "--diff", "."]
    table.add("fix, every file changed", fix, 1, dirty, work / "dirty")
    if options.peers is not None:
        _peers(table, options.peers, sample, work / "sample")
    table.ratios()


def _flat_copy(files: list[Path], folder: Path, ending: bytes) -> list[Path]:
    """Copies of some files, each in a folder of its own, with a few lines more."""
    copies = []
    for number, file in enumerate(files):
        copy = folder / f"m{number}" / file.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(file.read_bytes() + ending)
        copies.append(copy)
    return copies


def _listing(files: list[Path], work: Path) -> str:
    listing = work / "listing"
    listing.write_text("\n".join(map(str, files)))
    return str(listing)


def _peers(table: Table, folder: Path, sample: list[Path], root: Path) -> None:
    for name, arguments in PEERS.items():
        home = folder / name
        if not (home / "bin" / name).exists():
            venv.create(home, with_pip=True)
            subprocess.run([home / "bin" / "pip", "install", "-q", name], check=True)
        table.add(name, [str(home / "bin" / name), *arguments], 1, sample, root)


if __name__ == "__main__":
    main()
