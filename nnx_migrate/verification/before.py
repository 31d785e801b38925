"""The code before the migration: a folder, or a revision of the git repository."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RevisionError(Exception):
    """A revision that can't be had; the message says what to do."""


@contextmanager
def code_before(path: Path, folder: Path | None, revision: str) -> Iterator[Path]:
    """The folder that stood at `path`: `folder`, or a temporary worktree of `revision`.

    Raises:
        RevisionError: `path` is in no git repository, or git doesn't know the revision.
    """
    if folder is not None:
        yield folder
        return
    top = _git(path, "rev-parse", "--show-toplevel")
    if top.returncode:
        raise RevisionError(f"{path} is in no git repository: name the code before with --before FOLDER")
    root = Path(top.stdout.strip())
    temporary = Path(tempfile.mkdtemp(prefix="nnx-migrate-before-"))
    tree = temporary / root.name  # classes of a package that the folder is are named after it
    try:
        made = _git(root, "worktree", "add", "--detach", str(tree), revision)
        if made.returncode:
            raise RevisionError(f"git can't check out {revision}: {made.stderr.strip()}")
        yield tree / path.resolve().relative_to(root.resolve())
    finally:
        _git(root, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(temporary, ignore_errors=True)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
