"""`check`: run rules over a project and collect what they find.

File rules see only files that mention one of their triggers; a file that can't be read, or a rule that fails
on one file, is an error of that file alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnx_migrate.engine.catalog import Card
from nnx_migrate.engine.comments import judged
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.prefilter import Prefilter
from nnx_migrate.engine.rule import ProjectRule, Rule
from nnx_migrate.engine.suppressions import apply_suppressions, unused_suppressions
from nnx_migrate.engine.triggers import Triggers
from nnx_migrate.names.modules import Module
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
    """Rules compiled for scanning. `read` gives a file's bytes for the prefilter.

    Files in `named` (on the command line, one by one) are parsed even where no rule can concern them, so that
    their syntax errors are told.
    """

    def __init__(
        self,
        context: ProjectContext,
        rules: Sequence[Rule | Card],
        read: Callable[[Path], bytes],
        named: Container[Path] = (),
    ) -> None:
        self.context, self.read, self.named = context, read, named
        cards = [rule if isinstance(rule, Card) else Card.of(rule) for rule in rules]
        active = [card for card in cards if context.targets.concerned(card.since)]
        self.file_rules = [card for card in active if not card.whole_project]
        self.project_rules = [card for card in active if card.whole_project]
        self.groups = {rule.id: rule.group for rule in active}
        self.triggers = Triggers({t for rule in self.file_rules for t in rule.triggers})
        self.prefilter = Prefilter(
            self.triggers.exact | self.triggers.prefixes, own=context.project.has_package
        )
        self._by_rule = {rule.id: Triggers(rule.triggers) for rule in self.file_rules}
        context.project.words = self.triggers.words

    def file(self, path: Path) -> Scan:
        """What the file rules find in one file, without what its comments or the config silence."""
        scan = Scan(files=1)
        project = self.context.project
        try:
            data = self.read(path)
        except OSError as error:
            scan.errors[path] = SourceError(f"can't be read: {error.strerror or error}")
            return scan
        if (
            path.suffix != ".ipynb"
            and path not in self.named
            and not self.prefilter.may_concern(data)
            and b"nnx-migrate:" not in data
        ):
            return scan
        module = project.module(path)
        if module is None:
            scan.errors[path] = project.errors[path]
            return scan
        try:
            found = self._run_rules(module, scan)
        except RecursionError:
            scan.errors[path] = SourceError("too deeply nested to be analysed")
            return scan
        off = self.context.config.ignored_in(path)
        found = [f for f in found if f.rule not in off and self.groups.get(f.rule) not in off]
        kept, suppressions = apply_suppressions(module.source, found, self.groups)
        judged = self.groups.keys() - {rule.id for rule in self.project_rules}
        scan.findings = kept + unused_suppressions(module, suppressions, judged)
        return scan

    def _run_rules(self, module: Module, scan: Scan) -> list[Finding]:
        hits = self.triggers.hits(module, self.context.project)
        file = self.context.file(module, hits)
        found: list[Finding] = []
        mentioned = {use.qualified for use in hits.uses} | {imported.qualified for imported in hits.imports}
        for card in self.file_rules:
            triggers = self._by_rule[card.id]
            if not any(triggers.within(name) for name in mentioned):
                continue
            try:
                reported = [f for f in card.rule.check(file) if not module.scopes.asks_for_version(f.line)]
                found += judged(reported, self.context.project)
            except RecursionError:
                raise
            except Exception as error:
                scan.errors[module.path] = _rule_failure(card, error)
        return found

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
        for card in self.project_rules:
            if not all(self._occurs(text) for text in card.texts):
                continue
            try:
                rule = card.rule
                assert isinstance(rule, ProjectRule)
                found = list(rule.plan(self.context) if plan else rule.check_project(self.context))
                scan.findings += judged(found, self.context.project)
            except Exception as error:
                scan.errors[Path(card.id)] = _rule_failure(card, error)
                continue
            if not plan:
                self.context.project.release_all()  # findings hold no trees, and the next rule needs others
        scan.findings = self._not_silenced(scan.findings)
        return scan

    def _occurs(self, text: str) -> bool:
        return next(self.context.project.files_mentioning(text), None) is not None

    def _not_silenced(self, findings: Iterable[Finding]) -> list[Finding]:
        by_path: dict[Path, list[Finding]] = {}
        for finding in findings:
            by_path.setdefault(finding.path, []).append(finding)
        kept: list[Finding] = []
        for path, found in by_path.items():
            off = self.context.config.ignored_in(path)
            found = [f for f in found if f.rule not in off and self.groups.get(f.rule) not in off]
            kept += apply_suppressions(self.context.project.source(path), found, self.groups)[0]
        return kept


def _rule_failure(card: Card, error: Exception) -> SourceError:
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    return SourceError(f"rule {card.id} failed: {type(error).__name__}: {error} ({place}); please report it")
