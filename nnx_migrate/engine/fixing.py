"""`fix`: apply the fixes of a project until nothing more changes.

Fixes are taken in order of place, those first that prepare others; one whose edits would touch a span that
another has changed waits for the next pass. A fix that changes several files is applied to all of them or to none.
A file that parsed before and would not parse afterwards keeps its old text, and the fix becomes an unfixed finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.findings import Finding, Fix, ImportRequest, Safety
from nnx_migrate.engine.imports import edit_imports
from nnx_migrate.engine.scan import Scan, Scanner
from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import Edit, SourceError, SourceText

MAX_PASSES = 10


@dataclass
class FixResult:
    """What `fix` did: texts before and after by file, new files, the findings fixed and those left."""

    before: dict[Path, SourceText] = field(default_factory=dict)
    after: dict[Path, SourceText] = field(default_factory=dict)
    created: dict[Path, str] = field(default_factory=dict)
    fixed: list[Finding] = field(default_factory=list)
    remaining: Scan = field(default_factory=Scan)

    @property
    def changed(self) -> list[Path]:
        """Files whose text differs now, in order."""
        return sorted(p for p in self.after if self.after[p].text != self.before[p].text)


class Fixer:
    """Applies fixes to the project in memory. `accept` may turn single findings down (interactive mode)."""

    def __init__(
        self,
        context: ProjectContext,
        scanner: Scanner,
        *,
        unsafe: bool = False,
        accept: Callable[[Finding], bool] = lambda finding: True,
    ) -> None:
        self.context, self.scanner, self.unsafe, self.accept = context, scanner, unsafe, accept
        self.result = FixResult()
        self._refused: dict[tuple[str, Path, str], str] = {}
        self._postponed = False  # whether a fix of the last round waits for another

    def run(self, paths: Sequence[Path]) -> FixResult:
        """Fix everything that can be fixed in `paths`."""
        pending = list(dict.fromkeys(paths))  # helpers that were created are up to date
        whole = Scan()
        for _ in range(MAX_PASSES):
            whole = self.scanner.whole_project(plan=True)
            planned = self._apply(whole.findings)
            if planned and self._postponed:
                continue  # the plan's own fixes first: what waits for another is planned anew
            edited = self._fix_files([*pending, *planned])
            if not planned and not edited:
                break  # what the plan says holds for the texts as they are now
            pending = []
        else:
            whole = self.scanner.whole_project(plan=True)
        remaining = self.scanner.files(paths)
        remaining.merge(whole)
        remaining.findings = [self._with_refusal(f) for f in remaining.findings]
        self.result.remaining = remaining
        return self.result

    def _fix_files(self, paths: Iterable[Path]) -> list[Path]:
        """Fix files one by one until nothing more changes; those that did."""
        touched: list[Path] = []
        pending = list(dict.fromkeys(paths))
        for _ in range(MAX_PASSES):
            changed = [path for file in pending for path in self._fix_file(file)]
            if not changed:
                break
            touched += changed
            pending = list(dict.fromkeys(changed))
        return touched

    def _fix_file(self, path: Path) -> list[Path]:
        """Fix one file to its fixpoint; the files that changed (fixes may reach into others)."""
        touched: list[Path] = []
        for _ in range(MAX_PASSES):
            changed = self._apply(self.scanner.file(path).findings)
            touched += changed
            if path not in changed:
                break
        return touched

    # -- one round ----------------------------------------------------------------------------------------

    def _apply(self, findings: Iterable[Finding]) -> list[Path]:
        self._postponed = False
        chosen: list[Finding] = []
        taken: dict[Path, list[tuple[int, int]]] = {}
        for finding in sorted(findings, key=_order):
            fix = finding.fix
            if fix is None or not self._allowed(finding) or self._key(finding) in self._refused:
                continue
            if not fix.prepares and any(other.fix and other.fix.prepares for other in chosen):
                self._postponed = True
                break
            if any(fix is other.fix for other in chosen):  # one fix for several findings
                chosen.append(finding)
                continue
            if any(_conflicts(change.edits, taken.get(path, [])) for path, change in fix.changes.items()):
                self._postponed = True
                continue
            if not self.accept(finding):
                self._refused[self._key(finding)] = "declined"
                continue
            for path, change in fix.changes.items():
                taken.setdefault(path, []).extend((e.start, e.end) for e in change.edits)
            chosen.append(finding)
        return self._commit(chosen)

    def _allowed(self, finding: Finding) -> bool:
        return finding.safety is Safety.SAFE or (self.unsafe and finding.safety is Safety.UNSAFE)

    def _commit(self, chosen: list[Finding]) -> list[Path]:
        """Apply the chosen findings' fixes; on a syntax error find the culprits one by one."""
        if not chosen:
            return []
        fixes = [finding.fix for finding in chosen if finding.fix]
        texts = self._texts_after(fixes)
        if texts is None:
            if len(chosen) == 1:
                self._refused[self._key(chosen[0])] = "fix-breaks-syntax"
                return []
            self._postponed = True
            changed: list[Path] = []
            for finding in chosen:  # offsets belong to the old text: only the first may go in per pass
                changed = self._commit([finding])
                if changed:
                    break
            return changed
        for path, text in texts.items():
            module = self.context.project.module(path)
            assert module is not None
            self.result.before.setdefault(path, module.source)
            self.result.after[path] = text
            self.context.project.replace(path, text)
        for fix in fixes:
            self.result.created.update({p: t for p, t in fix.creates.items() if not p.exists()})
        self.result.fixed += chosen
        return list(texts)

    def _texts_after(self, fixes: list[Fix]) -> dict[Path, SourceText] | None:
        edits: dict[Path, list[Edit]] = {}
        requests: dict[Path, list[ImportRequest]] = {}
        for fix in fixes:
            for path, change in fix.changes.items():
                edits.setdefault(path, []).extend(change.edits)
                requests.setdefault(path, []).extend(r for r in change.imports)
        texts: dict[Path, SourceText] = {}
        for path, of_file in edits.items():
            module = self.context.project.module(path)
            if module is None:
                return None
            try:
                text = self._edited(module, of_file, list(dict.fromkeys(requests[path])))
                Module(path, module.name, text).tree  # noqa: B018  (raises where it doesn't parse)
            except (SourceError, ValueError):
                return None
            if text.text != module.source.text:
                texts[path] = text
        return texts

    def _edited(self, module: Module, edits: list[Edit], requests: list[ImportRequest]) -> SourceText:
        after = Module(module.path, module.name, module.source.with_edits(list(dict.fromkeys(edits))))
        project = self.context.project
        return edit_imports(module, after, requests, lambda name: project.exports.uses(module.path, name))

    # -- refusals -----------------------------------------------------------------------------------------

    def _key(self, finding: Finding) -> tuple[str, Path, str]:
        module = self.context.project.module(finding.path)
        line = module.source.line_text(finding.line) if module else ""
        return finding.rule, finding.path, f"{line.strip()}:{finding.column}"

    def _with_refusal(self, finding: Finding) -> Finding:
        if self._refused.get(self._key(finding)) == "fix-breaks-syntax":
            return finding.without_fix(
                "fix-breaks-syntax", "the rewritten file would not parse; please report it"
            )
        return finding


def _order(finding: Finding) -> tuple[Any, ...]:
    """What prepares comes first, then everything in the order of its place."""
    return not (finding.fix is not None and finding.fix.prepares), finding.sort_key


def _conflicts(edits: Sequence[Edit], taken: list[tuple[int, int]]) -> bool:
    return any(
        (e.start < end and start < e.end)
        or (e.start == e.end and start < e.start < end)
        or (e.start, e.end) == (start, end)
        for e in edits
        for start, end in taken
    )
