"""What every rule's fixtures are held to.

A case is a folder `fixtures/<rule-id>/<case>/` with

- `before.py` and `after.py` (or folders `before/` and `after/` with a `main.py`): `fix` turns the one into
  the other, byte for byte, and `main()` of both returns equal arrays, or
- `noop.py` (or a folder `noop/`): looks like the outdated pattern and is none: no finding, no change, or
- `finding.py` (or a folder `finding/`): outdated, but not to be rewritten without a person.

Lines that keep a finding after `fix` end in `# finding` or `# finding: <part of its message or help>`.

`case.toml` may set: `rules` (further rule ids to run), `unsafe` (apply unsafe fixes), `era` (before.py runs
only there; `recorded.npz` holds what it returned), `[targets]` (package = version that the project is pinned
to), and with a `reason`: `tolerance` (bit-equal otherwise), `drops_comments`, `warns` (after.py may emit
DeprecationWarning), `static` (no release that can be installed runs before.py). `needs` lists packages that
both sides import and the test environment may lack: without them the comparison is skipped.
"""

from __future__ import annotations

import io
import os
import re
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nnx_migrate.config import Config
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.fixing import Fixer, FixResult
from nnx_migrate.engine.registry import builtin_rules, select
from nnx_migrate.engine.rule import Rule
from nnx_migrate.engine.scan import Scan, Scanner
from nnx_migrate.engine.targets import Pin, Targets, version
from nnx_migrate.names.project import Project
from nnx_migrate.sources.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures"
SETTINGS = {
    "rules", "unsafe", "era", "tolerance", "reason", "drops_comments", "warns", "static", "targets",
    "needs", "stays",
}  # fmt: skip
_MARK = re.compile(r"# finding(?::\s*(?P<text>.*?))?\s*$")


# -- running rules in memory ------------------------------------------------------------------------------


def scanner_for(
    files: Mapping[Path, str], rules: Iterable[Rule], targets: Mapping[str, str] | None = None
) -> Scanner:
    """A scanner over `files`, as if these were all files of a project; nothing is read from disk."""
    rules = list(rules)
    sources = {path: SourceText.decode(text.encode()) for path, text in files.items()}
    pins = Targets({p: Pin(version(text), f"{p}=={text}", Path()) for p, text in (targets or {}).items()})
    project = Project(files, sources.__getitem__)
    context = ProjectContext(project, Config(root=_folder_of(files)), pins)
    return Scanner(context, rules, lambda path: sources[path].encode())


def _folder_of(files: Iterable[Path]) -> Path:
    """The folder that holds all files of a case."""
    return Path(os.path.commonpath([path.absolute().parent for path in files]))


def check_files(
    files: Mapping[Path, str], rules: Iterable[Rule], targets: Mapping[str, str] | None = None
) -> Scan:
    """What `check` finds, file rules and project rules, in order of place."""
    scanner = scanner_for(files, rules, targets)
    scan = scanner.files(files)
    scan.merge(scanner.whole_project())
    scan.findings.sort(key=lambda finding: finding.sort_key)
    return scan


def fix_files(
    files: Mapping[Path, str],
    rules: Iterable[Rule],
    *,
    unsafe: bool = False,
    targets: Mapping[str, str] | None = None,
) -> tuple[dict[Path, str], FixResult]:
    """The files as `fix` leaves them (created ones included), and the fixer's own account."""
    scanner = scanner_for(files, rules, targets)
    result = Fixer(scanner.context, scanner, unsafe=unsafe).run(list(files))
    assert not result.remaining.errors, result.remaining.errors
    texts = {path: result.after[path].text if path in result.after else text for path, text in files.items()}
    return {**texts, **result.created}, result


def fix_text(
    code: str, *rules: str | Rule, unsafe: bool = False, targets: Mapping[str, str] | None = None
) -> str:
    """One file's code after `fix` with the given rules (ids, groups or ALL, or rules themselves)."""
    path = Path("/project/example.py")
    return fix_files({path: code}, resolve_rules(rules), unsafe=unsafe, targets=targets)[0][path]


def check_text(code: str, *rules: str | Rule, targets: Mapping[str, str] | None = None) -> list[Finding]:
    """The findings of one file's code."""
    scan = check_files({Path("/project/example.py"): code}, resolve_rules(rules), targets)
    assert not scan.errors, scan.errors
    return scan.findings


def resolve_rules(rules: Iterable[str | Rule]) -> list[Rule]:
    """Rules by id, group or ALL."""
    chosen: list[Rule] = []
    for rule in rules:
        chosen += select(builtin_rules(), [rule]) if isinstance(rule, str) else [rule]
    return chosen


# -- fixtures ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One fixture. `kind`: pair, noop or finding."""

    rule: str
    folder: Path
    kind: str

    @property
    def id(self) -> str:
        """`<rule>/<case>`."""
        return f"{self.rule}/{self.folder.name}"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """case.toml, empty where there is none."""
        path = self.folder / "case.toml"
        found = tomllib.loads(path.read_text()) if path.exists() else {}
        assert found.keys() <= SETTINGS, f"{path}: unknown settings {found.keys() - SETTINGS}"
        for needs_reason in ("tolerance", "drops_comments", "warns", "static"):
            assert needs_reason not in found or found.get("reason"), f"{path}: {needs_reason} needs a reason"
        return found

    @property
    def rules(self) -> list[Rule]:
        """The rule, and those that the case wants beside it."""
        return resolve_rules([self.rule, *self.settings.get("rules", [])])

    @property
    def targets(self) -> dict[str, str]:
        """Pins of the imagined project."""
        return dict(self.settings.get("targets", {}))

    @property
    def unsafe(self) -> bool:
        """Whether unsafe fixes are applied."""
        return bool(self.settings.get("unsafe", False))

    def files(self, side: str) -> dict[Path, str]:
        """The files of one side ("before", "after", "noop", "finding").

        Both sides of a pair get the paths of the side that `fix` starts from, so that they can be compared.
        """
        start = "before" if self.kind == "pair" else self.kind
        single = self.folder / f"{side}.py"
        if single.exists():
            return {self.folder / f"{start}.py": _read(single)}
        root = self.folder / side
        assert root.is_dir(), f"{self.id} has neither {side}.py nor a folder {side}/"
        paths = sorted(p for p in root.rglob("*.py"))
        return {self.folder / start / p.relative_to(root): _read(p) for p in paths}

    def entry(self, side: str) -> Path:
        """The file that holds `main()`."""
        single = self.folder / f"{side}.py"
        return single if single.exists() else self.folder / side / "main.py"


def _read(path: Path) -> str:
    return path.read_bytes().decode()  # line endings as they are


def all_cases() -> Iterator[Case]:
    """Every fixture, in order."""
    for folder in sorted(FIXTURES.glob("*/*/")):
        settings = folder / "case.toml"
        if settings.exists() and "model" in tomllib.loads(settings.read_text()):
            continue  # a class without a program: tests/linen_module proves these
        for kind, name in (("pair", "before"), ("noop", "noop"), ("finding", "finding")):
            if (folder / f"{name}.py").exists() or (folder / name).is_dir():
                yield Case(folder.parent.name, folder, kind)


def marks(files: Mapping[Path, str]) -> Counter[tuple[Path, int]]:
    """Lines marked `# finding`."""
    return Counter(
        (path, number)
        for path, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if _MARK.search(line)
    )


def mark_text(line: str) -> str:
    """What a marked line wants its finding to say, "" where it doesn't care."""
    match = _MARK.search(line)
    return (match.group("text") or "") if match else ""


def comments(text: str) -> Counter[str]:
    """The comments of a file."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return Counter(t.string.strip() for t in tokens if t.type == tokenize.COMMENT)
