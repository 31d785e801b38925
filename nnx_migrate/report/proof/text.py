"""The terminal: a table of models, then what differs and what was not compared."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nnx_migrate.numerics.results import Check
from nnx_migrate.verification.verdicts import Result, Verdict

_COLORS = {"equal": "green", "close": "yellow", "skipped": "yellow"}


def show(result: Result, console: Console, verbose: bool = False) -> None:
    """Print the result; `verbose` with the equal checks and the ends of tracebacks."""
    table = Table("model", "verdict", "parameters", "equal", "close", "different", "skipped", "s", box=None)
    for verdict in result.verdicts:
        table.add_row(*_row(verdict))
    if result.verdicts:
        console.print(table)
    for verdict in result.verdicts:
        for line in _lines(verdict, verbose):
            console.print(line, highlight=False, soft_wrap=True)
    if result.machines:
        console.print(f"\nComputed on {', '.join(result.machines)}.", highlight=False)
    for line in _left_out(result):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _left_out(result: Result) -> Iterator[str]:
    """What was not compared, and what to do about it."""
    if result.unchanged:
        yield f"\nLeft out, as nothing that they import was changed: {', '.join(result.unchanged)}"
        if not result.verdicts:
            yield "Name the code before with --before-rev REVISION or --before FOLDER."
    elif not result.verdicts:
        yield (
            "No model found: list some in [[tool.nnx-migrate.verify]], such as\n"
            '  model = "pkg.models:CNN"\n  inputs = ["f32[2,28,28,1]"]'
        )
    if result.uncovered:
        yield "\nConverted, and in no model that could be compared:"
        yield from (f"  {name}" for name in result.uncovered)
        yield "List models that contain them in pyproject.toml" + (", such as" if result.snippets else "")
        yield from (f"\n{snippet}" for snippet in result.snippets)


def _row(verdict: Verdict) -> list[str]:
    color = _COLORS.get(verdict.word, "red")
    checks = verdict.proof.checks if verdict.proof else []
    counts = [
        str(sum(c.status in kinds for c in checks) or "")
        for kinds in (("equal",), ("close",), ("different", "error"), ("skipped",))
    ]
    parameters = f"{verdict.proof.parameters:,}" if verdict.proof else ""
    word = f"[bold {color}]{verdict.word}[/]"
    return [escape(verdict.case.title), word, parameters, *counts, f"{verdict.seconds:.0f}"]


def _lines(verdict: Verdict, verbose: bool) -> list[str]:
    lines = []
    if verdict.reason:
        lines.append(f"  {escape(verdict.reason)}")
    if verbose and verdict.details:
        lines.append(escape(verdict.details))
    if verdict.proof is not None:
        shown = verdict.proof.checks if verbose else [c for c in verdict.proof.checks if c.status != "equal"]
        lines += [f"  {escape(describe(check))}" for check in shown]
        lines += [f"  note: {escape(note)}" for note in verdict.proof.notes]
    return [f"\n{escape(verdict.case.title)}", *lines] if lines else []


def describe(check: Check) -> str:
    """One comparison in a line."""
    worst = f" ({check.worst})" if check.worst and check.status in ("close", "different") else ""
    return f"{check.name}: {check.status}{worst}" + (f": {check.reason}" if check.reason else "")
