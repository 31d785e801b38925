"""Converts Linen trees and says what became of them: classes by rung and by reason, the places where programs use
modules (`init`, `apply` and their like, see sites.py), and models compared on JAX.

    python benchmarks/sweep.py TREE...                        # convert copies of these folders
    python benchmarks/sweep.py --drivers drivers.json TREE... # and compare the models that it lists

A row of the drivers file: `folder` (name of the tree), `sys_path`, `imports`, `build` (an expression), `cls`
("pkg.module.Class"), `args`, `init_kwargs`, `apply_kwargs` (expressions). Nothing in the trees is changed.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def convert(source: Path, target: Path) -> Outcome:
    """Convert a copy of a tree with the Linen rules."""
    outcome = Outcome(source.name)
    shutil.copytree(source, target, ignore=_other_files)
    start = time.process_time()
    paths = discover([target])
    context = ProjectContext(Project(paths, load_source), Config(root=target), Targets())
    scanner = Scanner(context, select(builtin_rules(), ["linen-module"]), lambda path: path.read_bytes())
    result = Fixer(context, scanner).run(paths)
    outcome.seconds = time.process_time() - start
    for path in result.changed:
        write_atomically(path, result.after[path].encode())
        ast.parse(result.after[path].text) if path.suffix == ".py" else None
    for path, text in result.created.items():
        path.write_text(text)
    outcome.converted = len(result.fixed)
    outcome.reasons.update(f.reason or "uses-not-converted" for f in result.remaining.findings)
    outcome.errors += [
        f"{p}: {e.message}" for p, e in result.remaining.errors.items() if "failed" in e.message
    ]
    outcome.records = {k: v for f in result.fixed if f.fix for k, v in f.fix.records.items()}
    outcome.sites = count_sites(Project(discover([source]), load_source), outcome.records.keys())
    return outcome


def _other_files(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if Path(folder, n).is_file() and not n.endswith(KEPT)]


def compare(driver: dict[str, Any], before: Path, after: Path, records: dict[str, Any]) -> str:
    """ "equal", "close", "different", or why the model of a driver can't be compared."""
    from nnx_migrate.numerics import parameter_map
    from nnx_migrate.numerics.inputs import Protocol
    from nnx_migrate.numerics.process_proof import prove_in_processes
    from nnx_migrate.numerics.processes import ChildError
    from nnx_migrate.numerics.source import ModelSource

    name = driver["cls"].rpartition(".")[2]
    facts = next((v for k, v in records.items() if k.endswith(f":{name}")), None)
    build = driver["build"].strip()
    if facts is None:
        return "not converted"
    call = ast.parse(build, mode="eval").body
    if not isinstance(call, ast.Call):
        return "built in another way"
    sizes = [_size(size, driver) for size in facts.get("sizes", ())]
    if None in sizes:
        return "size not given by the inputs"
    extra = ", ".join([*(str(s) for s in sizes), *(["rngs=rngs"] if facts.get("rngs", True) else [])])
    opening = build[:-1].rstrip().rstrip(",")
    separator = "" if opening.endswith("(") else ", "
    keywords = {
        k.arg: ast.unparse(k.value) for k in _dict_keywords(driver["apply_kwargs"] or driver["init_kwargs"])
    }
    shared: dict[str, Any] = {
        "setup": driver["imports"],
        "args": tuple(driver["args"]),
        "eval_kwargs": keywords,
        "init_kwargs": {k.arg: ast.unparse(k.value) for k in _dict_keywords(driver["init_kwargs"])},
        "sys_path": tuple(driver["sys_path"]),
    }
    old = ModelSource("linen", str(before), build, **shared)
    new = ModelSource("nnx", str(after), f"{opening}{separator}{extra})", **shared)
    try:
        document = {"version": parameter_map.VERSION, "modules": records}
        proof = prove_in_processes(
            old, new, parameter_map.from_json(document), Protocol(modes=("jit",), steps=1)
        )
    except ChildError as error:
        return f"error: {str(error).strip().splitlines()[-1][:120]}"
    bad = [
        f"{c.name} {c.status} {c.reason}"[:160] for c in proof.checks if c.status in ("different", "error")
    ]
    return f"{proof.verdict}{': ' + '; '.join(bad[:2]) if bad else ''}"


def _size(size: dict[str, Any], driver: dict[str, Any]) -> str | None:
    """The size as an expression over the driver's single input (several inputs: only the first is known)."""
    if len(size["path"]) != 1 or not driver["args"]:
        return None
    index = size.get("index", 0)
    if index >= len(driver["args"]):
        return None
    array, axis = driver["args"][index], size["axis"]
    if size.get("flat"):
        return f"{size['name']}=int(__import__('math').prod(({array}).shape[{axis}:]))"
    return f"{size['name']}=({array}).shape[{axis}]"


def _dict_keywords(text: str | None) -> Iterator[ast.keyword]:
    tree = ast.parse(text or "{}", mode="eval").body
    if isinstance(tree, ast.Dict):
        for key, value in zip(tree.keys, tree.values, strict=True):
            assert isinstance(key, ast.Constant)
            yield ast.keyword(arg=key.value, value=value)
    elif isinstance(tree, ast.Call):
        yield from tree.keywords


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="+", type=Path)
    parser.add_argument("--drivers", type=Path)
    options = parser.parse_args()
    drivers = json.loads(options.drivers.read_text())["drivers"] if options.drivers else []
    total, reasons, verdicts, sites = Counter[str](), Counter[str](), Counter[str](), Sites()
    for tree in options.trees:
        with tempfile.TemporaryDirectory() as folder:
            after = Path(folder) / tree.name
            outcome = convert(tree, after)
            left = sum(outcome.reasons.values())
            print(
                f"{tree.name}: {outcome.converted} of {outcome.converted + left} classes, "
                f"{outcome.sites.converted} of {outcome.sites.total} sites, {outcome.seconds:.1f} s"
            )
            for error in outcome.errors:
                print(f"  CRASH {error}")
            for driver in drivers:
                if driver.get("folder") == tree.name and driver["kind"] == "manual":
                    verdict = compare(driver, tree, after, outcome.records)
                    verdicts[verdict.partition(":")[0]] += 1
                    print(f"  {driver['name']}: {verdict}", flush=True)
            total.update(converted=outcome.converted, left=left, crashes=len(outcome.errors))
            reasons.update(outcome.reasons)
            sites.add(outcome.sites)
    print(
        f"\nsites of init and apply: {sites.converted} of {sites.total} converted "
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
