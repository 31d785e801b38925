"""`check`: run rules over a project and collect what they find.

File rules see only files that mention one of their triggers; a file that can't be read, or a rule that fails
on one file, is an error of that file alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import ProjectRule, Rule
from nnx_migrate.engine.triggers import Triggers
from nnx_migrate.sources.text import SourceError


@dataclass
class Scan:
    """The result of a scan. `errors` are files that could not be checked."""

    findings: list[Finding] = field(default_factory=list)
    errors: dict[Path, SourceError] = field(default_factory=dict)
    files: int = 0

    def merge(self, other: Scan) -> None:
        """Add another scan's results."""
        self.findings += other.findings
        self.errors.update(other.errors)
        self.files += other.files


class Scanner:
    """Rules compiled for scanning. `read` gives a file's bytes for the prefilter."""

    def __init__(self, context: ProjectContext, rules: Sequence[Rule], read: Callable[[Path], bytes]) -> None:
        self.context, self.read = context, read
        self.file_rules = [r for r in rules if not isinstance(r, ProjectRule) and context.targets.concerned(r.since)]
        self.project_rules = [r for r in rules if isinstance(r, ProjectRule) and context.targets.concerned(r.since)]
        self.triggers = Triggers({t for rule in self.file_rules for t in rule.triggers})
        self._by_rule = {rule.id: Triggers(rule.triggers) for rule in self.file_rules}

    @property
    def words(self) -> frozenset[str]:
        """Attribute names that modules must collect while their scopes are built."""
        return self.triggers.words

    def file(self, path: Path) -> Scan:
        """What the file rules find in one file."""
        scan = Scan(files=1)
        project = self.context.project
        try:
            if not path.suffix == ".ipynb" and not self.triggers.may_concern(self.read(path)):
                return scan
        except OSError as error:
            scan.errors[path] = SourceError(f"can't be read: {error.strerror or error}")
            return scan
        module = project.module(path)
        if module is None:
            scan.errors[path] = project.errors[path]
            return scan
        try:
            hits = self.triggers.hits(module, project)
        except RecursionError:
            scan.errors[path] = SourceError("too deeply nested to be analysed")
            return scan
        if not hits:
            return scan
        file = self.context.file(module, hits)
        for rule in self.file_rules:
            triggers = self._by_rule[rule.id]
            if any(triggers.matches(h.qualified) for h in (*hits.uses, *hits.imports)):
                try:
                    scan.findings += rule.check(file)
                except RecursionError:
                    scan.errors[path] = SourceError(f"too deeply nested for rule {rule.id}")
                except Exception as error:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    scan.errors[path] = SourceError(
                        f"rule {rule.id} failed: {type(error).__name__}: {error} "
                        f"({Path(where.filename).name}:{where.lineno}); please report it"
                    )
        return scan

    def files(self, paths: Iterable[Path]) -> Scan:
        """What the file rules find in many files, one after the other; modules are released as it goes."""
        scan = Scan()
        for path in paths:
            scan.merge(self.file(path))
            self.context.project.release(path)
        return scan

    def whole_project(self, *, plan: bool = False) -> Scan:
        """What the project rules find; with `plan`, with fixes."""
        scan = Scan()
        for rule in self.project_rules:
            scan.findings += rule.plan(self.context) if plan else rule.check_project(self.context)
        return scan
