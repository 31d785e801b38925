"""The baseline: known findings that `check` doesn't report, so that CI gates only new ones.

An entry is (path, rule, text of the line without surrounding blanks, ordinal among equal ones in that file):
it survives lines being inserted above. Entries whose finding is gone leave the file at the next `check`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from nnx_migrate.engine.findings import Finding
from nnx_migrate.sources.writing import write_atomically

VERSION = 1
DEFAULT_NAME = ".nnx-migrate-baseline.json"
Key = tuple[str, str, str, int]


class BaselineError(Exception):
    """A baseline file that can't be read."""


@dataclass
class Baseline:
    """Known findings of the files below `root`."""

    root: Path
    entries: set[Key]

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Read a baseline. Raises BaselineError."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.get("version") != VERSION:
                raise BaselineError(
                    f"{path}: baseline of another version; make it anew with `nnx-migrate baseline`"
                )
            entries = {
                (file, e["rule"], e["line"], int(e.get("ordinal", 0)))
                for file, listed in data["files"].items()
                for e in listed
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BaselineError(
                f"{path}: not a baseline file ({error}); make it with `nnx-migrate baseline`"
            ) from None
        return cls(path.absolute().parent, entries)

    @classmethod
    def of(cls, root: Path, findings: Iterable[Finding], line_text: Callable[[Finding], str]) -> Baseline:
        """The baseline that knows exactly these findings."""
        return cls(root, {key for _, key in _keyed(root, findings, line_text)})

    def split(
        self, findings: Iterable[Finding], line_text: Callable[[Finding], str]
    ) -> tuple[list[Finding], set[Key]]:
        """Findings that are new, and the entries that still have a finding."""
        new: list[Finding] = []
        alive: set[Key] = set()
        for finding, key in _keyed(self.root, findings, line_text):
            if key in self.entries:
                alive.add(key)
            else:
                new.append(finding)
        return new, alive

    def save(self, path: Path) -> None:
        """Write the file, sorted so that its diffs are small."""
        files: dict[str, list[dict[str, str | int]]] = {}
        for file, rule, line, ordinal in sorted(self.entries):
            entry: dict[str, str | int] = {"rule": rule, "line": line}
            if ordinal:
                entry["ordinal"] = ordinal
            files.setdefault(file, []).append(entry)
        text = json.dumps({"version": VERSION, "files": files}, indent=1, ensure_ascii=False)
        write_atomically(path, f"{text}\n".encode())


def _keyed(
    root: Path, findings: Iterable[Finding], line_text: Callable[[Finding], str]
) -> Iterable[tuple[Finding, Key]]:
    seen: Counter[tuple[str, str, str]] = Counter()
    for finding in sorted(findings, key=lambda f: f.sort_key):
        absolute = finding.path.absolute()
        file = absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()
        short = (file, finding.rule, line_text(finding).strip())
        yield finding, (*short, seen[short])
        seen[short] += 1
