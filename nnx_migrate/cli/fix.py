"""`nnx-migrate fix`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from nnx_migrate.cli.common import Fatal, Progress, left_out_note, open_session, rule_options, split_names
from nnx_migrate.cli.statistics import counts
from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.engine.fixing import Fixer, FixResult
from nnx_migrate.engine.session import Session
from nnx_migrate.report import FORMATS, Report, render
from nnx_migrate.sources.text import SourceError


@click.command(short_help="rewrite them")
@rule_options
@click.option("--rule", "only", multiple=True, metavar="RULES", help="Apply just these rules (as --select).")
@click.option(
    "--convert", multiple=True, metavar="CLASSES",
    help="Convert these Linen classes (pkg.models:CNN, CNN or *Block) although code that uses them stays Linen: "
    "that code gets Linen copies of them.",
)  # fmt: skip
@click.option(
    "--trace", is_flag=True,
    help="First run the models' `init` without computing, to see the ranks of all inputs (needs nnx-migrate[verify]).",
)  # fmt: skip
@click.option(
    "--stub", "stubs", multiple=True, metavar="MODULE",
    help="With --trace: replace this import where it is not installed.",
)  # fmt: skip
@click.option("--unsafe-fixes", is_flag=True, help="Also apply fixes that need a look.")
@click.option(
    "--diff", is_flag=True, help="Show what would change; write nothing. Exit code 1 if anything would."
)
@click.option("--interactive", "-i", is_flag=True, help="Ask before each fix.")
@click.option("--allow-dirty", is_flag=True, help="Work on a git tree with uncommitted changes.")
@click.option("--stdin-filename", type=click.Path(path_type=Path), help="Fix standard input under this name.")
@click.option(
    "--output-format",
    type=click.Choice(FORMATS),
    default="concise",
    help="How findings that are left are shown.",
)
@click.option("--statistics", is_flag=True, help="Show counts per rule and reason of what is left.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if findings remain.")
def command(
    paths: tuple[Path, ...],
    only: tuple[str, ...],
    convert: tuple[str, ...],
    trace: bool,
    stubs: tuple[str, ...],
    unsafe_fixes: bool,
    diff: bool,
    interactive: bool,
    allow_dirty: bool,
    stdin_filename: Path | None,
    output_format: str,
    statistics: bool,
    exit_zero: bool,
    quiet: bool,
    select: tuple[str, ...],
    **options: Any,
) -> None:
    """Rewrite outdated patterns in PATHS (default: the current folder), across files.

    A file is written whole or not at all. Exit codes: 0 nothing left to do, 1 findings remain (with --diff:
    something would change; what would be left goes to standard error), 2 a file could not be fixed.
    """
    if paths == (Path("-"),):
        stdin_filename, paths = stdin_filename or Path("stdin.py"), ()
    session = open_session(
        paths, select=(*select, *split_names(only)), stdin_filename=stdin_filename, **options
    )
    if not (diff or allow_dirty or stdin_filename):
        _refuse_dirty_tree(session.paths)
    _ask_for_classes(session, split_names(convert))
    if trace:
        _trace(session, stubs, quiet)
    with Progress(len(session.paths), "fixing", not (quiet or interactive)):
        asker = _Asker() if interactive else None
        fixer = Fixer(
            session.scanner.context,
            session.scanner,
            unsafe=unsafe_fixes,
            accept=asker or (lambda finding: True),
        )
        result = fixer.run(session.paths)
    if stdin_filename is not None:
        sys.stdout.buffer.write(_stdin_result(result, stdin_filename, session.stdin[stdin_filename]))
        sys.exit(2 if result.remaining.errors else 0)
    left = result.remaining
    if diff:
        _print_diff(result)
        if quiet:
            left.findings = []
    else:
        _write(result)
        _record(result, session.config.root)
    report = Report(left.findings, left.errors, {card.id: card for card in session.rules}, len(session.paths))
    report.color = (sys.stderr if diff else sys.stdout).isatty() and "NO_COLOR" not in os.environ
    text = counts(left.findings, output_format) if statistics else render(report, output_format)
    if text and (not diff or left.findings or left.errors):
        click.echo(text, err=diff)  # a diff is for `git apply`: what stays as it is goes elsewhere
    if not quiet:
        click.echo(_summary(result, diff), err=True)
        if note := left_out_note(session, left.findings):
            click.echo(note, err=True)
    something = result.changed or result.created if diff else left.findings and not exit_zero
    sys.exit(2 if left.errors else 1 if something else 0)


def _ask_for_classes(session: Session, names: Sequence[str]) -> None:
    """Take the classes that `--convert` names beside those of the configuration. Raises Fatal for unknown ones."""
    context = session.scanner.context
    asked = (*context.config.convert, *names)
    if asked:
        from nnx_migrate.linen.classes.class_finder import find_linen_classes

        context.config = replace(context.config, convert=asked)
        known = [found.name for found in find_linen_classes(context.project, keep_modules=False)]
        for name in asked:
            if not any(fnmatchcase(cls, re.split(r"[.:]", name)[-1]) for cls in known):
                raise Fatal(f"--convert {name}: no Linen class of that name in the given files")


#: What to do where the code builds no model with values that can be seen.
_HOW_TO_LIST = """\
Models that the code builds with other than plain values have to be listed, small is enough:
    [[tool.nnx-migrate.verify]]
    model = "pkg.models:ViT"
    args = "depth=2, num_heads=4"
    inputs = ["f32[2,32,32,3]"]"""


def _trace(session: Session, stubs: tuple[str, ...], quiet: bool) -> None:
    """Let the project's own models show the ranks of their inputs; what can't be run is named and left out."""
    from nnx_migrate.cli.environment import require_packages

    require_packages()
    from nnx_migrate.cli.listed import listed_models
    from nnx_migrate.verification.tracing import trace_project

    found = trace_project(session.config.root, listed_models(session.config), stubs)
    session.scanner.context.traced = found.ranks
    if not quiet:
        for model, problem in found.problems.items():
            click.echo(f"not traced: {model}: {problem}", err=True)
        click.echo(f"Traced {len(found.models)} model(s), {len(found.ranks)} class(es) in them.", err=True)
        if any("ModuleNotFoundError" in problem for problem in found.problems.values()):
            click.echo("Packages that the models don't need: `--stub NAME`.", err=True)
        if not found.models:
            click.echo(_HOW_TO_LIST, err=True)


def _refuse_dirty_tree(paths: Any) -> None:
    """Fixes are reviewed as a diff: uncommitted work must not get mixed up with them."""
    import subprocess

    folders = sorted({path.absolute().parent for path in paths})
    seen: set[str] = set()
    for folder in folders:
        if any(folder.is_relative_to(done) for done in seen):
            continue
        top = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--show-toplevel"],
            capture_output=True,
            text=True,
            check=False,
        )
        if top.returncode:
            continue
        root = top.stdout.strip()
        seen.add(root)
        status = subprocess.run(
            ["git", "-C", root, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=False,
        )
        if status.stdout.strip():
            raise Fatal(
                f"{root} has uncommitted changes: commit or stash them first, so that the fixes can be reviewed "
                "on their own (or pass --allow-dirty)"
            )


def _print_diff(result: FixResult) -> None:
    from nnx_migrate.cli.diff import render_diff

    text = render_diff(result, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    if text:
        click.echo(text, nl=False)


def _write(result: FixResult) -> None:
    from nnx_migrate.sources.writing import write_atomically

    for path in result.changed:
        try:
            write_atomically(path, result.after[path].encode())
        except (OSError, SourceError) as error:
            message = (
                error.message
                if isinstance(error, SourceError)
                else f"can't be written: {error.strerror or error}"
            )
            result.remaining.errors[path] = SourceError(message)
    for path, text in result.created.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
        except OSError as error:
            result.remaining.errors[path] = SourceError(f"can't be written: {error.strerror or error}")


def _record(result: FixResult, root: Path) -> None:
    """Add the applied fixes' entries to the parameter map that `verify` and `checkpoint` read."""
    entries = {name: entry for f in result.fixed if f.fix for name, entry in f.fix.records.items()}
    if not entries:
        return
    import json

    from nnx_migrate.numerics import parameter_map
    from nnx_migrate.sources.writing import write_atomically

    path = root / parameter_map.DEFAULT_LOCATION
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        modules = {**known.get("modules", {}), **entries}
        document = {"version": parameter_map.VERSION, "modules": dict(sorted(modules.items()))}
        parameter_map.from_json(document, str(path))  # raises where somebody has damaged the file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode())
    except (OSError, ValueError) as error:
        result.remaining.errors[path] = SourceError(f"the parameter map can't be updated: {error}")


def _stdin_result(result: FixResult, name: Path, original: bytes) -> bytes:
    text = result.after.get(name)
    return text.encode() if text is not None else original


def _summary(result: FixResult, diff: bool = False) -> str:
    fixed, files = len(result.fixed), len(result.changed)
    left = len(result.remaining.findings)
    if not fixed:
        text = "Nothing to fix."
    else:
        text = f"{'Would fix' if diff else 'Fixed'} {fixed} finding{'s' if fixed != 1 else ''}"
        text += f" in {files} file{'s' if files != 1 else ''}."
    if result.created:
        text += f" New: {', '.join(str(p) for p in sorted(result.created))}."
    if left:
        fixable = [f.safety for f in result.remaining.findings if f.fix is not None]
        unsafe, declined = fixable.count(Safety.UNSAFE), fixable.count(Safety.SAFE)
        notes = [f"{unsafe} of them fixable with --unsafe-fixes"] if unsafe else []
        notes += [f"{declined} of them fixable, but declined"] if declined else []
        text += f" {left} left" + (f", {', '.join(notes)}." if notes else " to do by hand.")
    return text


class _Asker:
    """Asks about each fix: yes, no, all of this rule, quit."""

    def __init__(self) -> None:
        self._always: set[str] = set()
        self._quit = False

    def __call__(self, finding: Finding) -> bool:
        """True where the user wants the fix."""
        if self._quit:
            return False
        if finding.rule in self._always:
            return True
        title = finding.fix.title if finding.fix else ""
        click.secho(f"\n{finding.path}:{finding.line}: {finding.rule} {finding.message}", bold=True)
        _show_edits(finding)
        answer = click.prompt(
            f"{title}? [y]es [n]o [a]ll of {finding.rule} [q]uit",
            type=click.Choice(["y", "n", "a", "q"]),
            show_choices=False,
            default="y",
        )
        self._quit = answer == "q"
        if answer == "a":
            self._always.add(finding.rule)
        return answer in ("y", "a")


def _show_edits(finding: Finding) -> None:
    from nnx_migrate.cli.diff import edit_lines
    from nnx_migrate.sources.files import load_source

    if finding.fix is None:
        return
    for path, change in finding.fix.changes.items():
        for line in edit_lines(load_source(path), change.edits):
            click.secho(line, fg="red" if line.startswith("-") else "green")
