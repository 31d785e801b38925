"""What earlier runs found, by content, so that `check` reads only what has changed.

An entry holds for a file as long as its own bytes and those of every project file that was consulted for it
are the same (modification time and size stand for unread bytes). The whole cache is dropped when the tool, its
rules, the configuration, Python or the set of files changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.sources.text import SourceError
from nnx_migrate.sources.writing import write_atomically

FOLDER = ".nnx-migrate-cache"
Stamp = tuple[int, int]  # st_mtime_ns, st_size


def stamp(path: Path) -> Stamp | None:
    """Modification time and size; None where the file isn't there."""
    try:
        status = os.stat(path)  # noqa: PTH116  (thousands of times per run)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def digest(parts: Iterable[str]) -> str:
    """A short hash of settings and versions."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@dataclass
class Cache:
    """The cache file of one project. `key` says for which tool, rules and configuration it holds."""

    path: Path
    key: str
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    _stamps: dict[str, Stamp | None] = field(default_factory=dict)
    _dirty: bool = False

    @classmethod
    def load(cls, path: Path, key: str) -> Cache:
        """The stored cache, empty where there is none, it is damaged, or it was made under another key."""
        cache = cls(path, key)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = json.loads(path.read_bytes())
            if data["key"] == key:
                cache.entries = data["entries"]
        return cache

    def get(self, path: Path) -> tuple[list[Finding], SourceError | None] | None:
        """What is known of a file, if nothing that it depends on has changed."""
        entry = self.entries.get(str(path))
        if entry is None or any(self._stamp(file) != tuple(known) for file, known in entry["files"].items()):
            return None
        error = entry.get("error")
        return self.findings(path, entry["findings"]), SourceError(*error) if error else None

    def _stamp(self, file: str) -> Stamp | None:
        if file not in self._stamps:
            self._stamps[file] = stamp(Path(file))
        return self._stamps[file]

    def put(
        self, path: Path, findings: list[Finding], error: SourceError | None, consulted: Iterable[Path]
    ) -> None:
        """Remember a result."""
        files = {str(file): self._stamp(str(file)) for file in {path, *consulted}}
        if None in files.values():
            return
        entry: dict[str, Any] = {"files": files, "findings": [_row(f) for f in findings]}
        if error:
            entry["error"] = [error.message, error.line, error.column]
        self.entries[str(path)] = entry
        self._dirty = True

    def findings(self, path: Path, rows: list[list[Any]]) -> list[Finding]:
        """Stored rows as findings of a file."""
        return [_finding(path, row) for row in rows]

    def put_project(self, name: str, files: str, findings: Iterable[Finding]) -> None:
        """Remember what the project rules found in a set of files (given by its digest)."""
        by_path: dict[str, list[list[Any]]] = {}
        for finding in findings:
            by_path.setdefault(str(finding.path), []).append(_row(finding))
        self.entries[name] = {"files": files, "found": list(by_path.items())}
        self._dirty = True

    def save(self) -> None:
        """Write the cache; a folder that can't be written to means no cache, not a failure."""
        if not self._dirty:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            ignore = self.path.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            data = json.dumps({"key": self.key, "entries": self.entries}, separators=(",", ":"))
            write_atomically(self.path, data.encode())


def _row(finding: Finding) -> list[Any]:
    place = [finding.line, finding.column, finding.end_line, finding.end_column, finding.cell]
    return [finding.rule, *place, finding.message, finding.safety.value, finding.reason, finding.help]


def _finding(path: Path, row: list[Any]) -> Finding:
    rule, line, column, end_line, end_column, cell, message, safety, reason, help_ = row
    return Finding(
        rule, path, line, column, end_line, end_column, message, Safety(safety), None, reason, help_, cell
    )
