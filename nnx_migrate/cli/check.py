"""`nnx-migrate check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from nnx_migrate.cli.common import Fatal, Progress, left_out_note, line_text, open_session, rule_options
from nnx_migrate.cli.statistics import counts
from nnx_migrate.engine.baseline import Baseline, BaselineError
from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.engine.session import Session
from nnx_migrate.report import FORMATS, Report, render


@click.command(short_help="find outdated patterns")
@rule_options
@click.option("--output-format", type=click.Choice(FORMATS), default="full", help="How findings are shown.")
@click.option("--output-file", "-o", type=click.Path(path_type=Path), help="Write the report to a file.")
@click.option("--statistics", is_flag=True, help="Show counts per rule instead of findings.")
@click.option("--baseline", type=click.Path(path_type=Path), help="Don't report the findings of this file.")
@click.option(
    "--stdin-filename", type=click.Path(path_type=Path), help="Check standard input under this name."
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")
@click.option("--add-ignores", is_flag=True, help="Add a suppression comment to each line with findings.")
def command(
    paths: tuple[Path, ...],
    output_format: str,
    output_file: Path | None,
    statistics: bool,
    baseline: Path | None,
    stdin_filename: Path | None,
    exit_zero: bool,
    add_ignores: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Find outdated JAX-ecosystem patterns in PATHS (default: the current folder).

    Nothing is written. Exit codes: 0 clean, 1 findings, 2 a file could not be checked.
    """
    if paths == (Path("-"),):
        stdin_filename = stdin_filename or Path("stdin.py")
        paths = ()
    session = open_session(paths, stdin_filename=stdin_filename, **options)
    with Progress(len(session.paths), "checking", not quiet) as progress:
        scan = session.check(progress)
    findings = _without_known(session, scan.findings, baseline or session.config.baseline, quiet)
    if add_ignores:
        _add_ignores(session, findings)
        return
    report = Report(findings, scan.errors, {card.id: card for card in session.rules}, scan.files)
    report.color = output_file is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = counts(findings, output_format) if statistics else render(report, output_format)
    if output_file is not None:
        output_file.write_text(f"{text}\n", encoding="utf-8")
    elif text:
        click.echo(text)
    if not quiet and output_format in ("full", "concise") and not statistics:
        click.echo(
            _summary(findings, scan.files, len(scan.errors), _analysed_by_fix(session, findings)),
            err=output_file is None and not sys.stdout.isatty(),
        )
        if note := left_out_note(session):
            click.echo(note, err=True)
    sys.exit(2 if scan.errors else 1 if findings and not exit_zero else 0)


def _without_known(
    session: Session, findings: list[Finding], path: Path | None, quiet: bool
) -> list[Finding]:
    if path is None:
        return findings
    try:
        baseline = Baseline.load(path)
    except BaselineError as error:
        raise Fatal(str(error)) from None
    new, alive = baseline.split(findings, line_text(session))
    looked_at = {_key(baseline.root, file) for file in session.paths}
    gone = {entry for entry in baseline.entries - alive if entry[0] in looked_at}
    if gone:
        if not os.environ.get("CI"):
            Baseline(baseline.root, baseline.entries - gone).save(path)
        if not quiet:
            verb = "can leave" if os.environ.get("CI") else "left"
            click.echo(f"{len(gone)} known finding(s) are gone and {verb} the baseline {path}", err=True)
    return new


def _key(root: Path, path: Path) -> str:
    absolute = path.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()


def _analysed_by_fix(session: Session, findings: list[Finding]) -> frozenset[str]:
    """Rules with findings of which only `fix` finds out what it can do: that takes longer than a check may."""
    from nnx_migrate.engine.rule import ProjectRule

    found = {finding.rule for finding in findings}
    return frozenset(
        card.id
        for card in session.rules
        if card.id in found
        and isinstance(card.rule, ProjectRule)
        and type(card.rule).plan is not ProjectRule.plan
    )


def _summary(findings: list[Finding], files: int, errors: int, analysed: frozenset[str]) -> str:
    where = f"{files} file{'s' if files != 1 else ''}"
    failed = f" {errors} could not be checked." if errors else ""
    if not files and not errors:
        return "No Python files or notebooks there."
    if not findings:
        return (
            f"Nothing outdated in {where}.{failed}" if errors else f"All good: nothing outdated in {where}."
        )
    safe = sum(f.safety is Safety.SAFE for f in findings)
    unsafe = sum(f.safety is Safety.UNSAFE for f in findings)
    parts = [f"{len(findings)} finding{'s' if len(findings) != 1 else ''} in {where}."]
    if safe:
        parts.append(f"[*] {safe} fixable with `nnx-migrate fix`.")
    if unsafe:
        parts.append(f"[?] {unsafe} more with `--unsafe-fixes`.")
    if waiting := sum(f.rule in analysed and f.safety is Safety.MANUAL for f in findings):
        names = ", ".join(sorted({f.rule for f in findings if f.rule in analysed}))
        parts.append(f"Which of the {waiting} of {names} can be fixed, `nnx-migrate fix --diff` finds out.")
    return " ".join(parts) + failed


def _add_ignores(session: Session, findings: list[Finding]) -> None:
    from nnx_migrate.engine.suppressions import UNUSED, suppression_edit
    from nnx_migrate.sources.writing import write_atomically

    by_line: dict[Path, dict[int, set[str]]] = {}
    for finding in findings:
        module = session.scanner.context.project.module(finding.path)
        if module is None or finding.rule == UNUSED:
            continue
        line = finding.line + module.source.lines_before(finding.cell)
        by_line.setdefault(finding.path, {}).setdefault(line, set()).add(finding.rule)
    added = skipped = 0
    for path, lines in by_line.items():
        module = session.scanner.context.project.module(path)
        assert module is not None
        edits = [suppression_edit(module, line, rules) for line, rules in lines.items()]
        usable = [edit for edit in edits if edit is not None]
        added, skipped = added + len(usable), skipped + len(edits) - len(usable)
        if usable:
            write_atomically(path, module.source.with_edits(usable).encode())
    note = f"; {skipped} lines can't take a comment" if skipped else ""
    click.echo(f"Added {added} suppression comments{note}.")
