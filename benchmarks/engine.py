"""Times `check` and `fix` on real trees beside parsers and other tools, in one run, and prints ratios.

    python benchmarks/engine.py                  # the installed jax and flax packages
    python benchmarks/engine.py PATH...          # other trees
    python benchmarks/engine.py --peers DIR      # also TorchFix and Fixit, in virtual environments made in DIR

CPU seconds (user + system, children included) of whole processes, the median of `--runs`. Ruff is taken from the
environment. TorchFix's own prefilter is switched off, as it would skip every file without `torch`.
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
from pathlib import Path

PARSE_AST = "import ast,sys\nfor f in open(sys.argv[1]): ast.parse(open(f.strip(),'rb').read())"
PARSE_CST = """
import libcst, sys
for name in open(sys.argv[1]):
    libcst.parse_module(open(name.strip(), "rb").read()).bytes
"""
PEERS = {"torchfix": "torchfix", "fixit": "fixit"}


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
    parser.add_argument(
        "--peers", type=Path, help="folder for the virtual environments of TorchFix and Fixit"
    )
    options = parser.parse_args()
    trees = options.trees or [installed("jax"), installed("flax")]
    files = python_files(trees)
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{len(files)} files, {size:.1f} MB: {' '.join(tree.name for tree in trees)}\n")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _measure(work, files, options.runs, options.peers)


def _measure(work: Path, files: list[Path], runs: int, peers: Path | None) -> None:
    # a copy outside of any repository: git and other configurations have no say
    root = work / "tree"
    for number, file in enumerate(files):
        target = root / str(number // 500) / f"m{number}" / file.name
        target.parent.mkdir(parents=True)
        shutil.copyfile(file, target)
    listing = work / "files"
    listing.write_text("\n".join(str(path) for path in sorted(root.rglob("*.py"))))
    python, tool = sys.executable, [sys.executable, "-m", "nnx_migrate"]
    (work / "clean.py").write_text("x = 1\n")
    rows: dict[str, tuple[float, int]] = {}
    rows["python -c 'import click'"] = median([python, "-c", "import click"], runs + 4)
    rows["check, one clean file"] = median([*tool, "check", "-q", str(work / "clean.py")], runs + 4)
    rows["ast.parse"] = median([python, "-c", PARSE_AST, str(listing)], runs)
    rows["check, cold"] = median([*tool, "check", "-q", "-j1", "--no-cache", "--statistics", "."], runs, root)
    cpu_seconds([*tool, "check", "-q", "-j1", "--statistics", "."], root)
    rows["check, warm"] = median([*tool, "check", "-q", "-j1", "--statistics", "."], runs, root)
    rows["libcst parse + codegen"] = median([python, "-c", PARSE_CST, str(listing)], 1)
    if shutil.which("ruff"):
        rows["ruff, all rules"] = median(
            ["ruff", "check", "--isolated", "-n", "-q", "--select", "ALL", "."], runs, root
        )
    rows.update(_fix(work, root, runs))
    if peers is not None:
        rows.update(_peers(peers, root))
    _print(rows)


def _fix(work: Path, root: Path, runs: int) -> dict[str, tuple[float, int]]:
    """`fix` over files that all have something to fix, beside LibCST reading and writing the same files."""
    dirty = work / "dirty"
    shutil.copytree(root, dirty, ignore=shutil.ignore_patterns(".nnx-migrate-cache"))
    files = sorted(dirty.rglob("*.py"))[::10]
    kept = set(files)
    for file in dirty.rglob("*.py"):
        if file in kept:
            file.write_bytes(file.read_bytes() + b"\n\nimport jax as _jax\n_jax.tree_map(print, 1)\n")
        else:
            file.unlink()
    listing = work / "dirty-files"
    listing.write_text("\n".join(map(str, files)))
    command = [sys.executable, "-m", "nnx_migrate", "fix", "-q", "-j1", "--no-cache", "--diff", "."]
    return {
        f"libcst parse + codegen of {len(files)} files": median(
            [sys.executable, "-c", PARSE_CST, str(listing)], 1
        ),
        f"fix of these {len(files)} files": median(command, runs, dirty),
    }


def _peers(folder: Path, root: Path) -> dict[str, tuple[float, int]]:
    rows = {}
    for name, package in PEERS.items():
        home = folder / name
        if not (home / "bin" / name).exists():
            venv.create(home, with_pip=True)
            subprocess.run([home / "bin" / "pip", "install", "-q", package], check=True)
        if name == "torchfix":
            # the prefilter looks for the word `torch` in each file
            copy = root.parent / "torch-tree"
            if not copy.exists():
                shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".nnx-migrate-cache"))
                for file in copy.rglob("*.py"):
                    file.write_bytes(file.read_bytes() + b"\n# torch\n")
            command = [str(home / "bin" / "torchfix"), "--select", "ALL", "-j1", "."]
            rows["torchfix, prefilter off"] = median(command, 1, copy)
        else:
            rows["fixit lint"] = median([str(home / "bin" / "fixit"), "lint", "."], 1, root)
    return rows


def _print(rows: dict[str, tuple[float, int]]) -> None:
    width = max(map(len, rows))
    for name, (seconds, memory) in rows.items():
        print(f"{name:<{width}}  {seconds:8.3f} s CPU  {memory:5d} MB")
    print()
    pairs = [
        ("check, one clean file", "python -c 'import click'", "at most 3"),
        ("check, cold", "ast.parse", "at most 2"),
        ("check, warm", "check, cold", "at most 0.05"),
        ("check, cold", "torchfix, prefilter off", "at most 0.05"),
        ("check, cold", "fixit lint", "at most 0.05"),
        ("check, cold", "ruff, all rules", ""),
    ]
    fix = [name for name in rows if name.startswith("fix of")]
    pairs += [
        (name, name.replace("fix of these", "libcst parse + codegen of"), "at most 1.5") for name in fix
    ]
    for one, other, goal in pairs:
        if one in rows and other in rows:
            ratio = rows[one][0] / rows[other][0]
            print(f"{one} / {other}: {ratio:.3f}" + (f"  (goal: {goal})" if goal else ""))


if __name__ == "__main__":
    main()
