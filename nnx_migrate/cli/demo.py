"""`nnx-migrate demo`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from nnx_migrate.demo import AFTER, BEFORE, INPUT, PROJECT, SETUP


@click.command(short_help="see it all on a small bundled project")
@click.option("--keep", is_flag=True, help="Leave the converted project where it is.")
def command(keep: bool) -> None:
    """Copy a small Linen project to a temporary folder, check it, convert it, and prove the result equal.

    The proof needs JAX and Flax (`pip install 'nnx-migrate[verify]'`); the rest doesn't.
    """
    folder = Path(tempfile.mkdtemp(prefix="nnx-migrate-demo-"))
    project = folder / "project"
    try:
        shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
        _program("check", project, expected=1)
        _program("fix", project, "--diff", expected=1)
        _program("fix", project, "--quiet", expected=0)
        equal = _proof(project)
    finally:
        if keep:
            click.echo(f"\nThe converted project is in {project}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if equal else 1)


def _program(name: str, project: Path, *options: str, expected: int) -> None:
    shown = " ".join(["nnx-migrate", name, *options, "."])
    click.secho(f"\n$ {shown}", bold=True)
    command = [sys.executable, "-m", "nnx_migrate", name, *options, "--no-cache", "."]
    result = subprocess.run(command, cwd=project, check=False)
    if result.returncode != expected:
        raise click.ClickException(f"`{shown}` ended with {result.returncode}, not {expected}")


def _proof(project: Path) -> bool:
    """Compare the model before and after; True where it is equal, or where nothing can be run here."""
    click.secho("\nThe model before and after, with the same parameters and random draws:", bold=True)
    if importlib.util.find_spec("jax") is None or importlib.util.find_spec("flax") is None:
        click.echo("not compared: JAX and Flax are not installed here (pip install 'nnx-migrate[verify]')")
        return True
    from nnx_migrate.numerics import parameter_map
    from nnx_migrate.numerics.inputs import Protocol
    from nnx_migrate.numerics.process_proof import prove_in_processes
    from nnx_migrate.numerics.source import ModelSource

    flags = {"eval_kwargs": {"train": "False"}, "train_kwargs": {"train": "True"}}
    before = ModelSource("linen", str(PROJECT), BEFORE, SETUP, (INPUT,), **flags)  # type: ignore[arg-type]
    after = ModelSource("nnx", str(project), AFTER, SETUP, (INPUT,), **flags)  # type: ignore[arg-type]
    recorded = parameter_map.load(project / parameter_map.DEFAULT_LOCATION)
    proof = prove_in_processes(before, after, recorded, Protocol(modes=("jit",), steps=5))
    for check in proof.checks:
        click.echo(f"  {check.name:<24} {check.status}{f': {check.reason}' if check.reason else ''}")
    click.secho(f"verdict: {proof.verdict}", fg="green" if proof.proven else "red", bold=True)
    return proof.proven
