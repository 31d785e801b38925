"""`nnx-migrate verify`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnx_migrate.cli.common import Fatal, config_of
from nnx_migrate.cli.environment import require_packages, without_traceback
from nnx_migrate.cli.listed import listed_models
from nnx_migrate.config import Config

if TYPE_CHECKING:
    from nnx_migrate.verification.cases import Cases
    from nnx_migrate.verification.comparison import Comparison
    from nnx_migrate.verification.verdicts import Result


@click.command(short_help="prove that the code before and after computes the same")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path())
@click.option(
    "--before-rev", metavar="REV", default="HEAD", show_default=True, help="Git revision of the code before."
)
@click.option(
    "--before",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the code before, instead of a revision.",
)
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only models whose name contains this."
)
@click.option(
    "--steps", type=click.IntRange(0), default=5, show_default=True, help="Optimizer steps to compare."
)
@click.option("--eager/--no-eager", default=True, show_default=True, help="Also compare without jit.")
@click.option(
    "--assume/--no-assume", default=True, show_default=True,
    help="Make up values for converted classes that no known model contains.",
)  # fmt: skip
@click.option("--full-size", is_flag=True, help="Don't compare large models in smaller sizes.")
@click.option("--optimize", is_flag=True, help="Let XLA optimise as it does in earnest; takes longer.")
@click.option(
    "--stub", "stubs", multiple=True, metavar="MODULE", help="Replace this import where it is not installed."
)
@click.option(
    "--max-memory", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, metavar="GIB",
    help="Don't build models whose variables need more.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=600.0, show_default=True, metavar="SECONDS",
    help="For each side of each model.",
)  # fmt: skip
@click.option(
    "--output-format", type=click.Choice(["text", "json", "junit"]), default="text", show_default=True
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a report to this file."
)
@click.option("--verbose", "-v", is_flag=True, help="Show equal comparisons and tracebacks too.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Use this configuration file.")
def command(
    path: Path,
    before_rev: str,
    before: Path | None,
    models: tuple[str, ...],
    steps: int,
    eager: bool,
    assume: bool,
    full_size: bool,
    optimize: bool,
    stubs: tuple[str, ...],
    max_memory: float,
    timeout: float,
    output_format: str,
    html: Path | None,
    verbose: bool,
    config_file: Path | None,
) -> None:
    """Compare the models of the project in PATH before and after `fix`, with the same parameters and draws.

    Compared are outputs, gradients, updated collections and optimizer steps, each side in a process of its own.
    Models are those that [[tool.nnx-migrate.verify]] lists, those that the code itself builds and initialises
    with plain values, and converted classes that none of these contains, with values that are made up. Exit
    codes: 0 all equal, 1 a model differs or could not be compared, 2 nothing could be run.
    """
    require_packages()
    from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
    from nnx_migrate.numerics.inputs import Protocol
    from nnx_migrate.verification.before import RevisionError, code_before
    from nnx_migrate.verification.cases import Cases
    from nnx_migrate.verification.comparison import Comparison
    from nnx_migrate.verification.running import Runner

    config = config_of(path, config_file)
    recorded, facts = _recorded(path, config)
    listed = listed_models(config)
    protocol = Protocol(
        modes=("jit", "eager") if eager else ("jit",), steps=steps, max_bytes=int(max_memory * 2**30)
    )
    with without_traceback(verbose):
        try:
            with code_before(path, before, before_rev) as old:
                cases = Cases(old, path, facts, listed, stubs)
                _refuse_converted(before or before_rev, cases)
                missing = cases.code.missing_packages
                runner = Runner(recorded, protocol, timeout, optimize, (old, path), missing)
                comparison = Comparison(cases, runner, StatedInputs(config.inputs), models, assume, full_size)
                _with_progress(comparison)
                _report(comparison.result, old, path, output_format, html, verbose)
        except RevisionError as error:
            raise Fatal(str(error)) from None
    sys.exit(1 if comparison.result.failed else 0)


def _refuse_converted(before: Path | str, cases: Cases) -> None:
    if cases.facts and not cases.facts.keys() & cases.code.classes.keys():
        raise Fatal(
            f"{before} holds none of the classes that were converted: name the code before with "
            "--before-rev REVISION or --before FOLDER"
        )


def _recorded(path: Path, config: Config) -> tuple[Any, Mapping[str, Any]]:
    """The parameter map that `fix` wrote, and what it says of each class; nothing where no class was converted."""
    from nnx_migrate.numerics import parameter_map

    places = (root / parameter_map.DEFAULT_LOCATION for root in (path, config.root))
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return None, {}
    try:
        return parameter_map.load(file), json.loads(file.read_text(encoding="utf-8"))["modules"]
    except parameter_map.MapFormatError as error:
        raise Fatal(str(error)) from None


def _with_progress(comparison: Comparison) -> None:
    """Runs all, and says on a terminal which one is running."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading the code", total=None)
        for done, (title, following) in enumerate(comparison.run()):
            bar.update(task, completed=done, total=done + 1 + following, description=title)


def _report(
    result: Result, old: Path, new: Path, output_format: str, html: Path | None, verbose: bool
) -> None:
    if html is not None:
        from nnx_migrate.report.proof.html import render
        from nnx_migrate.sources.writing import write_atomically

        write_atomically(html, render(result, old, new).encode())
    if output_format == "text":
        _show(result, verbose)
        return
    from importlib import import_module

    click.echo(import_module(f"nnx_migrate.report.proof.{output_format}").render(result))


def _show(result: Result, verbose: bool) -> None:
    from rich.console import Console

    from nnx_migrate.report.proof.text import show

    width = None if sys.stdout.isatty() else 160  # names are whole in a file, which has no width
    show(result, Console(soft_wrap=width is not None, width=width), verbose)
