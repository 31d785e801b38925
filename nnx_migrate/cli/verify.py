"""`nnx-migrate verify`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from nnx_migrate.cli.common import Fatal, config_of

MAP = Path(".nnx-migrate") / "parameters.json"


@dataclass
class Verdict:
    """The result for one model: `proof` is None where it could not be compared, for `reason`."""

    model: str
    proof: Any = None
    reason: str = ""

    @property
    def failed(self) -> bool:
        """A model that differs, or that should have been compared and was not."""
        return self.proof is None or not self.proof.proven


@click.command(short_help="prove that the code before and after computes the same")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path())
@click.option("--before-rev", metavar="REV", help="Git revision of the code before [default: HEAD].")
@click.option(
    "--before",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the code before.",
)
@click.option(
    "--steps", type=click.IntRange(0), default=5, show_default=True, help="Optimizer steps to compare."
)
@click.option("--eager", is_flag=True, help="Also compare without jit.")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Use this configuration file.")
def command(
    path: Path,
    before_rev: str | None,
    before: Path | None,
    steps: int,
    eager: bool,
    output_format: str,
    config_file: Path | None,
) -> None:
    """Compare the models of the project in PATH before and after `fix`, with the same parameters and draws.

    Compared are outputs, gradients, updated collections and optimizer steps, each side in a process of its own.
    Models are those that the code itself builds and initialises with plain values, and those that
    [[tool.nnx-migrate.verify]] lists. Exit codes: 0 all equal, 1 a model differs or could not be compared.
    """
    import importlib.util

    if importlib.util.find_spec("jax") is None or importlib.util.find_spec("flax") is None:
        raise Fatal("verify runs the code: install it with `pip install 'nnx-migrate[verify]'`")
    config = config_of(path, config_file)
    if not (path / MAP).is_file() and not (config.root / MAP).is_file():
        raise Fatal(f"{path / MAP} is missing: `nnx-migrate fix` writes it when it converts classes")
    map_file = path / MAP if (path / MAP).is_file() else config.root / MAP
    with _before(path, before, before_rev) as old:
        verdicts = list(_verify(old, path, map_file, config.verify, steps, eager, output_format == "text"))
    if output_format == "json":
        rows = [
            {"model": v.model, "reason": v.reason, **(v.proof.to_json() if v.proof else {})} for v in verdicts
        ]
        click.echo(json.dumps(rows, indent=2))
    elif not verdicts:
        click.echo(
            'No model found: list some in [[tool.nnx-migrate.verify]] (model = "pkg.models:CNN", inputs = [...])'
        )
    sys.exit(1 if not verdicts or any(v.failed for v in verdicts) else 0)


@contextmanager
def _before(path: Path, folder: Path | None, revision: str | None) -> Iterator[Path]:
    """The code before: a folder, or a git revision in a temporary worktree."""
    if folder is not None:
        yield folder
        return
    top = subprocess.run(
        ["git", "-C", str(path), "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=False
    )
    if top.returncode:
        raise Fatal(f"{path} is not in a git repository: name the code before with --before FOLDER")
    root = Path(top.stdout.strip())
    temporary = Path(tempfile.mkdtemp(prefix="nnx-migrate-before-"))
    add = ["git", "-C", str(root), "worktree", "add", "--detach", str(temporary / "tree"), revision or "HEAD"]
    made = subprocess.run(add, capture_output=True, text=True, check=False)
    try:
        if made.returncode:
            raise Fatal(f"git can't check out {revision or 'HEAD'}: {made.stderr.strip()}")
        yield temporary / "tree" / path.absolute().relative_to(root)
    finally:
        remove = ["git", "-C", str(root), "worktree", "remove", "--force", str(temporary / "tree")]
        subprocess.run(remove, capture_output=True, check=False)
        shutil.rmtree(temporary, ignore_errors=True)


def _verify(
    old: Path,
    new: Path,
    map_file: Path,
    listed: tuple[Mapping[str, Any], ...],
    steps: int,
    eager: bool,
    show: bool,
) -> Iterator[Verdict]:
    from nnx_migrate.numerics import parameter_map
    from nnx_migrate.numerics.inputs import Protocol
    from nnx_migrate.numerics.process_proof import prove_in_processes
    from nnx_migrate.numerics.processes import ChildError

    recorded = parameter_map.load(map_file)
    facts = json.loads(map_file.read_text(encoding="utf-8"))["modules"]
    protocol = Protocol(modes=("jit", "eager") if eager else ("jit",), steps=steps)
    for model in _models(old, listed):
        verdict = Verdict(model.key)
        if model.key not in facts:
            verdict.reason = "the class was not converted"
        else:
            try:
                before, after = _sources(model, facts[model.key], old, new)
                verdict.proof = prove_in_processes(before, after, recorded, protocol)
            except ChildError as error:
                verdict.reason = str(error).strip().splitlines()[-1]
        if show:
            _show(verdict)
        yield verdict


def _models(old: Path, listed: tuple[Mapping[str, Any], ...]) -> Iterator[Any]:
    """Models from the configuration, then those found in the code."""
    from nnx_migrate.linen.programs.models import FoundModel, find_models
    from nnx_migrate.names.project import Project
    from nnx_migrate.sources.discovery import discover
    from nnx_migrate.sources.files import load_source

    seen = set()
    for row in listed:
        key = str(row.get("model", ""))
        module, _, name = key.partition(":")
        if not name:
            raise Fatal(f'[[tool.nnx-migrate.verify]]: model must read like "pkg.models:CNN", not {key!r}')
        seen.add(key)
        inputs = {f"{i}": _array(text) for i, text in enumerate(row.get("inputs", ()))}
        flags = {str(row["train_flag"]): True} if "train_flag" in row else {}
        yield FoundModel(key, module, name, str(row.get("args", "")), inputs, flags)
    project = Project(discover([old]), load_source)
    yield from (model for model in find_models(project) if model.key not in seen)


def _array(text: str) -> str:
    """`f32[2,28,28,1]` as an expression; any other text is one already."""
    import re

    match = re.fullmatch(r"(f32|f16|bf16|i32|u8|bool)\[([\d, ]*)\]", text.strip())
    if match is None:
        return text
    kinds = {
        "f32": "float32",
        "f16": "float16",
        "bf16": "bfloat16",
        "i32": "int32",
        "u8": "uint8",
        "bool": "bool",
    }
    shape = f"({match[2]},)" if match[2] else "()"
    if match[1].startswith(("f", "b")) and match[1] != "bool":
        return f"jnp.asarray(np.random.RandomState(0).standard_normal({shape}), jnp.{kinds[match[1]]})"
    return f"jnp.asarray(np.random.RandomState(0).randint(0, 2, {shape}), jnp.{kinds[match[1]]})"


def _sources(model: Any, facts: Mapping[str, Any], old: Path, new: Path) -> tuple[Any, Any]:
    from nnx_migrate.numerics.source import ModelSource

    inputs = tuple(model.arguments.values())
    by_name = dict(model.arguments)
    sizes = []
    for size in facts.get("sizes", ()):
        head, *rest = size["path"]
        text = by_name.get(str(head)) or (inputs[0] if len(inputs) == 1 else None)
        if text is None:
            raise Fatal(
                f"{model.key}: no input tells `{size['name']}`; list the model in [[tool.nnx-migrate.verify]]"
            )
        part = "".join(f"[{key!r}]" for key in rest)
        sizes.append(f"{size['name']}=({text}){part}.shape[{size['axis']}]")
    extra = [*sizes, "rngs=rngs"] if facts.get("rngs", True) else sizes
    arguments = ", ".join([*([model.constructor] if model.constructor else []), *extra])
    flags = {
        "eval_kwargs": model.keywords(False),
        "train_kwargs": model.keywords(True) if model.flags else None,
    }
    name = model.name.rpartition(".")[2]
    setup = f"from {model.module} import {model.name.partition('.')[0]}"
    path = (".", _import_root(old, model.module))
    before = ModelSource(
        "linen", str(old), f"{name}({model.constructor})", setup, inputs, sys_path=path, **flags
    )
    after = ModelSource("nnx", str(new), f"{name}({arguments})", setup, inputs, sys_path=path, **flags)
    return before, after


def _import_root(root: Path, module: str) -> str:
    """The folder, relative to `root`, from which a module is imported by its name."""
    tail = Path(*module.split("."))
    for candidate in (tail.with_suffix(".py"), tail / "__init__.py"):
        found = sorted(root.rglob(str(candidate)), key=lambda p: len(p.parts))
        if found:
            folder = found[0].parents[len(candidate.parts) - 1]
            return folder.relative_to(root).as_posix()
    return "."


def _show(verdict: Verdict) -> None:
    if verdict.proof is None:
        click.echo(f"{verdict.model}: {click.style('not compared', fg='red')}: {verdict.reason}")
        return
    color = "red" if verdict.failed else "green"
    click.echo(f"{verdict.model}: {click.style(verdict.proof.verdict, fg=color, bold=True)}")
    for check in verdict.proof.checks:
        if check.status != "equal":
            worst = f" ({check.worst})" if check.worst and check.status in ("close", "different") else ""
            click.echo(f"  {check.name}: {check.status}{worst}{f': {check.reason}' if check.reason else ''}")
    for note in verdict.proof.notes:
        click.echo(f"  note: {note}")
