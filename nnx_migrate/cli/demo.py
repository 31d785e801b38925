"""`nnx-migrate demo`."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from nnx_migrate.cli.common import Fatal
from nnx_migrate.demo import CHECKPOINT, INPUT, NEW_MODEL, OLD_MODEL, PROJECT


@click.command(short_help="see it all on a small bundled project")
@click.option("--keep", is_flag=True, help="Leave the converted project where it is.")
def command(keep: bool) -> None:
    """Copy a small Linen project to a temporary folder, check it, convert it, prove the result, carry weights over.

    Training, proof and checkpoint need JAX and Flax (`pip install 'nnx-migrate[verify]'`); the rest doesn't.
    """
    folder = Path(tempfile.mkdtemp(prefix="nnx-migrate-demo-"))
    before, project = folder / "before", folder / "project"
    try:
        for copy in (before, project):
            shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__"))
        _run(project, "nnx-migrate", "check", ".", expected=1)
        _run(project, "nnx-migrate", "fix", "--diff", ".", expected=1)
        _run(project, "nnx-migrate", "fix", "--quiet", ".")
        if importlib.util.find_spec("jax") is None or importlib.util.find_spec("flax") is None:
            click.echo("Not run: JAX and Flax are not installed here (pip install 'nnx-migrate[verify]')")
        else:
            _prove(project)
            _carry_over(before, project)
    finally:
        if keep:
            click.echo(f"\nThe converted project is in {project}, the old one in {before}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _prove(project: Path) -> None:
    """The model before and after, with the same parameters and random draws."""
    _run(
        project,
        "nnx-migrate",
        "verify",
        "--before",
        "../before",
        "--no-eager",
        "--steps",
        "2",
        "--verbose",
        ".",
    )


def _carry_over(before: Path, project: Path) -> None:
    """A checkpoint of the old program for the new one."""
    _run(before, "python", "train.py")
    source, target = f"../before/{CHECKPOINT}", "trained"
    model = ["--layout", "functional", "--model", NEW_MODEL]
    _run(project, "nnx-migrate", "checkpoint", "convert", source, target, *model)
    outputs = ["--old", OLD_MODEL, "--before", "../before", "--input", INPUT, "--call", "train=False"]
    _run(project, "nnx-migrate", "checkpoint", "check", source, target, *model, *outputs)


def _run(folder: Path, program: str, *arguments: str, expected: int = 0) -> None:
    """Show a command and run it; `nnx-migrate` and `python` are those of this environment."""
    shown = shlex.join([program, *arguments])
    click.secho(f"\n{folder.name}$ {shown}", bold=True)
    start = [sys.executable, "-m", "nnx_migrate"] if program == "nnx-migrate" else [sys.executable]
    uncached = ["--no-cache"] if arguments[0] in ("check", "fix") else []
    environment = {"JAX_PLATFORMS": "cpu", **os.environ}
    done = subprocess.run([*start, *arguments, *uncached], cwd=folder, env=environment, check=False)
    if done.returncode != expected:
        raise Fatal(f"`{shown}` ended with {done.returncode}, not {expected}")
