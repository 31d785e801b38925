"""The texts of a project's files: what is on disk, or what a fix has made of it so far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nnx_migrate.sources.text import SourceText

_KEPT = 24_000_000  # characters; most projects fit, larger ones are read again when asked for again


class Texts:
    """Reads each file once, as long as the texts fit into memory. `load` may raise OSError or SourceError."""

    def __init__(self, load: Callable[[Path], SourceText]) -> None:
        self._load = load
        self._kept: dict[Path, str] = {}
        self._room = _KEPT
        self._changed: dict[Path, SourceText] = {}

    def source(self, path: Path) -> SourceText:
        """A file's text as it is now, with positions. Raises OSError or SourceError."""
        changed = self._changed.get(path)
        if changed is not None:
            return changed
        source = self._load(path)
        if path not in self._kept and len(source.text) <= self._room:
            self._kept[path] = source.text
            self._room -= len(source.text)
        return source

    def text(self, path: Path) -> str:
        """The text alone. Raises OSError or SourceError."""
        if path in self._changed:
            return self._changed[path].text
        kept = self._kept.get(path)
        return self.source(path).text if kept is None else kept

    def replace(self, path: Path, source: SourceText) -> None:
        """Give a file new content, in memory."""
        self._changed[path] = source
        self._room += len(self._kept.pop(path, ""))
