"""Reading a source file of either kind."""

from __future__ import annotations

from pathlib import Path

from nnx_migrate.sources.text import SourceText


def decode_source(path: Path, data: bytes) -> SourceText:
    """Python or notebook text by the file's suffix. Raises SourceError."""
    if path.suffix == ".ipynb":
        # most runs meet no notebook, and this import would slow every start
        from nnx_migrate.sources.notebooks import NotebookText

        return NotebookText.decode(data)
    return SourceText.decode(data)


def load_source(path: Path) -> SourceText:
    """Read a file. Raises OSError or SourceError."""
    return decode_source(path, path.read_bytes())
