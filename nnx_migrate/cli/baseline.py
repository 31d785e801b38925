"""`nnx-migrate baseline`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nnx_migrate.cli.common import Progress, line_text, open_session, rule_options
from nnx_migrate.engine.baseline import DEFAULT_NAME, Baseline
from nnx_migrate.report import Report, render


@click.command(short_help="accept today's findings, so that only new ones count")
@rule_options
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path(DEFAULT_NAME), show_default=True
)
def command(paths: tuple[Path, ...], output: Path, quiet: bool, **options: Any) -> None:
    """Write all present findings of PATHS to a file that `check --baseline` takes out of its report.

    The file shrinks by itself: what is fixed leaves it at the next `check`.
    """
    session = open_session(paths, **options)
    with Progress(len(session.paths), "checking", not quiet) as progress:
        scan = session.check(progress)
    baseline = Baseline.of(output.absolute().parent, scan.findings, line_text(session))
    baseline.save(output)
    if not quiet:
        click.echo(f"{output}: {len(baseline.entries)} findings in {scan.files} files")
        if session.config.baseline is None:
            click.echo(f"`nnx-migrate check --baseline {output}` reports what is new; to always do so, write")
            click.echo(f'`baseline = "{output}"` under [tool.nnx-migrate] in pyproject.toml.')
    if scan.errors:
        click.echo(render(Report([], scan.errors), "concise"), err=True)
        sys.exit(2)
