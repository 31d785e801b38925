"""Converts Linen trees and says what became of them: classes by rung and by reason, the places where programs use
modules (`init`, `apply` and their like, see sites.py), and models compared on JAX.

    python benchmarks/sweep.py TREE...                        # convert copies of these folders
    python benchmarks/sweep.py --drivers drivers.json TREE... # and compare the models that it lists
    python benchmarks/sweep.py --convert '*' TREE...          # all classes that can be, as `fix --convert` does

What a drivers file holds is said in drivers.py. Nothing in the trees is changed.
"""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers import compare, read_driver
from sites import Sites, count_sites

from nnx_migrate.config import Config
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.fixing import Fixer
from nnx_migrate.engine.registry import builtin_rules, select
from nnx_migrate.engine.scan import Scanner
from nnx_migrate.engine.targets import Targets
from nnx_migrate.names.project import Project
from nnx_migrate.sources.discovery import discover
from nnx_migrate.sources.files import load_source
from nnx_migrate.sources.writing import write_atomically

KEPT = (".py", ".ipynb", ".toml", ".cfg", ".txt", ".json", ".yaml")


@dataclass
class Outcome:
    """What became of one tree."""

    tree: str
    converted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    sites: Sites = field(default_factory=Sites)
    records: dict[str, Any] = field(default_factory=dict)
    compared: Counter[str] = field(default_factory=Counter)


def convert(source: Path, target: Path, asked: Sequence[str] = ()) -> Outcome:
    """Convert a copy of a tree with the Linen rules, and the classes that are asked for in any case."""
    outcome = Outcome(source.name)
    shutil.copytree(source, target, ignore=_other_files)
    start = time.process_time()
    paths = discover([target])
    context = ProjectContext(
        Project(paths, load_source), Config(root=target, convert=tuple(asked)), Targets()
    )
    scanner = Scanner(context, select(builtin_rules(), ["linen-module"]), lambda path: path.read_bytes())
    result = Fixer(context, scanner).run(paths)
    outcome.seconds = time.process_time() - start
    for path in result.changed:
        write_atomically(path, result.after[path].encode())
        ast.parse(result.after[path].text) if path.suffix == ".py" else None
    for path, text in result.created.items():
        path.write_text(text)
    outcome.converted = len(result.fixed)
    left = [f for f in result.remaining.findings if "`Linen" not in f.message or not asked]  # no copies
    outcome.reasons.update(f.reason or "uses-not-converted" for f in left)
    outcome.errors += [
        f"{p}: {e.message}" for p, e in result.remaining.errors.items() if "failed" in e.message
    ]
    outcome.records = {k: v for f in result.fixed if f.fix for k, v in f.fix.records.items()}
    outcome.sites = count_sites(Project(discover([source]), load_source), outcome.records.keys())
    return outcome


def _other_files(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if Path(folder, n).is_file() and not n.endswith(KEPT)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="+", type=Path)
    parser.add_argument("--drivers", type=Path)
    parser.add_argument("--convert", action="append", default=[], metavar="CLASSES")
    options = parser.parse_args()
    rows = json.loads(options.drivers.read_text())["drivers"] if options.drivers else []
    drivers = [read_driver(row) for row in rows]
    total, reasons, verdicts, sites = Counter[str](), Counter[str](), Counter[str](), Sites()
    for tree in options.trees:
        with tempfile.TemporaryDirectory() as folder:
            after = Path(folder) / tree.name
            outcome = convert(tree, after, options.convert)
            left = sum(outcome.reasons.values())
            print(
                f"{tree.name}: {outcome.converted} of {outcome.converted + left} classes, "
                + ("" if options.convert else f"{outcome.sites.converted} of {outcome.sites.total} sites, ")
                + f"{outcome.seconds:.1f} s"
            )
            for error in outcome.errors:
                print(f"  CRASH {error}")
            for driver in drivers:
                if driver.folder == tree.name:
                    verdict = compare(driver, tree, after, outcome.records)
                    verdicts[verdict.partition(":")[0]] += 1
                    print(f"  {driver.name}: {verdict}", flush=True)
            total.update(converted=outcome.converted, left=left, crashes=len(outcome.errors))
            reasons.update(outcome.reasons)
            sites.add(outcome.sites)
    print()
    if not options.convert:  # programs of classes that are asked for stay as they are
        print(
            f"sites of init and apply: {sites.converted} of {sites.total} converted "
            f"({sites.converted / max(sites.total, 1):.0%}); of {sites.unknown} the module isn't known"
        )
    print(f"classes converted {total['converted']}, left {total['left']}; crashes {total['crashes']}")
    for reason, count in reasons.most_common():
        print(f"  {count:5d} {reason}")
    if verdicts:
        print("models: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    sys.exit(1 if verdicts["different"] or total["crashes"] else 0)


if __name__ == "__main__":
    main()
