"""Options and steps that commands share."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from nnx_migrate.config import Config, ConfigError, load_config
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.registry import RuleError
from nnx_migrate.engine.session import Session
from nnx_migrate.engine.targets import TargetError, read_targets
from nnx_migrate.sources.discovery import PathError, discover

Function = TypeVar("Function", bound=Callable[..., Any])


class Fatal(click.ClickException):
    """An error that ends the run: exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the message on standard error."""
        click.secho(f"error: {self.format_message()}", fg="red", err=True)


def rule_options(function: Function) -> Function:
    """The options that say which rules run on which files."""
    options = [
        click.argument("paths", nargs=-1, type=click.Path(path_type=Path)),
        click.option(
            "--select",
            multiple=True,
            metavar="RULES",
            help="Only these rules, groups or ALL (comma-separated).",
        ),
        click.option("--ignore", multiple=True, metavar="RULES", help="Not these rules or groups."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files or folders."),
        click.option(
            "--target-flax", metavar="VERSION", default="", help="Flax release that the code must run on."
        ),
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path), help="Use this configuration file."
        ),
        click.option("--jobs", "-j", type=click.IntRange(0), default=0, help="Processes; 0: one per core."),
        click.option("--no-cache", is_flag=True, help="Neither read nor write the cache."),
        click.option("--quiet", "-q", is_flag=True, help="No progress, no summary."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def split_names(values: Sequence[str]) -> tuple[str, ...]:
    """Names given by repeated options, comma-separated lists, or both."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def open_session(
    paths: Sequence[Path],
    *,
    select: Sequence[str],
    ignore: Sequence[str],
    exclude: Sequence[str],
    target_flax: str,
    config_file: Path | None,
    jobs: int,
    no_cache: bool,
    stdin_filename: Path | None = None,
) -> Session:
    """Read the configuration, find the files, select the rules. Raises Fatal."""
    try:
        start = stdin_filename or (paths[0] if paths else Path())
        config = load_config(start if start.exists() else Path(), config_file)
        stdin: dict[Path, bytes] = {}
        if stdin_filename is not None:
            stdin[stdin_filename] = sys.stdin.buffer.read()
            files = [stdin_filename]
        else:
            files = discover(paths or [Path()], [*config.exclude, *exclude], config.root)
        targets = read_targets(config.root, target_flax or config.target_flax)
        return Session.open(
            files,
            config,
            targets,
            chosen=split_names(select),
            ignored=split_names(ignore),
            use_cache=not no_cache,
            jobs=jobs,
            stdin=stdin,
            named=files if stdin else [path for path in paths if path.is_file()],
        )
    except (ConfigError, PathError, RuleError, TargetError) as error:
        raise Fatal(str(error)) from None


def line_text(session: Session) -> Callable[[Finding], str]:
    """A function from a finding to the text of its first line (files are read once)."""
    from nnx_migrate.sources.files import decode_source
    from nnx_migrate.sources.text import SourceError, SourceText

    sources: dict[Path, SourceText | None] = {}

    def text_of(finding: Finding) -> str:
        if finding.path not in sources:
            try:
                sources[finding.path] = decode_source(finding.path, session.read(finding.path))
            except (OSError, SourceError):
                sources[finding.path] = None
        source = sources[finding.path]
        return source.line_text(finding.line + source.lines_before(finding.cell)) if source else ""

    return text_of


def left_out_note(session: Session, findings: Iterable[Finding] = ()) -> str:
    """Which rules, and fixes of which findings, the project's pins leave out, and how to have them; else empty."""
    rules = session.left_out
    held = Counter(finding.rule for finding in findings if finding.reason == "pinned-release")
    needs = [*(rule.since for rule in rules), *(c.rule.needs for c in session.rules if c.id in held)]
    pins = {pin.text: pin.path.name for need in needs if (pin := session.targets.blocking(need))}
    what = []
    if rules:
        names = f"{len(rules)} rules" if len(rules) > 1 else f"rule {rules[0].id}"
        what.append(f"{names} for newer releases")
    what += [f"fixes of {count} finding{'s' * (count > 1)} of {rule}" for rule, count in held.items()]
    if not what:
        return ""
    stated = ", ".join(f"{text} ({name})" for text, name in sorted(pins.items()))
    return f"Pinned: {stated}. Left out: {', '.join(what)}; --target-flax 0.12.8 includes them."


class Progress:
    """A progress bar on standard error for runs that take long, and only in a terminal."""

    def __init__(self, total: int, label: str, enabled: bool) -> None:
        self._bar: Any = None
        self._total, self._label, self._done = total, label, 0
        self._enabled = enabled and total >= 200 and sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        """Tell that so many more files are done."""
        self._done += done
        if self._enabled and self._done < self._total:
            if self._bar is None:
                from rich.console import Console
                from rich.progress import Progress as Bar

                self._bar = Bar(console=Console(stderr=True), transient=True)
                self._bar.start()
                self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def config_of(start: Path, config_file: Path | None) -> Config:
    """The configuration for a command that needs no files."""
    try:
        return load_config(start, config_file)
    except ConfigError as error:
        raise Fatal(str(error)) from None
