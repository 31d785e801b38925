"""How findings are shown: one module per output format, each with `render(report) -> str`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from nnx_migrate.engine.findings import Finding
from nnx_migrate.sources.text import SourceError

if TYPE_CHECKING:
    from nnx_migrate.engine.catalog import Card
    from nnx_migrate.engine.rule import Rule

FORMATS = ("full", "concise", "json", "sarif", "github", "gitlab", "junit")


@dataclass
class Report:
    """What a run has to show. `rules` documents the rules that findings refer to; `files` were looked at."""

    findings: list[Finding]
    errors: dict[Path, SourceError]
    rules: dict[str, Card] = field(default_factory=dict)
    files: int = 0
    root: Path = field(default_factory=Path.cwd)
    color: bool = False

    def relative(self, path: Path) -> str:
        """A path as shown: relative to the working directory where it is below it."""
        absolute = path.absolute()
        return absolute.relative_to(self.root).as_posix() if absolute.is_relative_to(self.root) else str(path)

    @property
    def ordered_errors(self) -> list[tuple[Path, SourceError]]:
        """Errors by path."""
        return sorted(self.errors.items())


def render(report: Report, output_format: str) -> str:
    """The report as text in one of FORMATS."""
    module = import_module(f"nnx_migrate.report.{output_format}")
    text: str = module.render(report)
    return text


def summary_of(rule: Rule | None) -> str:
    """A rule's one-line summary."""
    return rule.documentation()[""].partition("\n")[0] if rule else ""


def location(finding: Finding) -> str:
    """`cell 3:4:1` or `12:5`."""
    cell = f"cell {finding.cell}:" if finding.cell is not None else ""
    return f"{cell}{finding.line}:{finding.column}"
