"""A project as it was at a git revision."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnx_migrate.checkpoints.errors import CheckpointError


@contextmanager
def checked_out(project: Path, revision: str) -> Iterator[Path]:
    """The folder `project` as it was at `revision`, in a temporary folder. The repository is not touched.

    Raises:
        CheckpointError: the folder is in no git repository, or there is no such revision.
    """
    done = subprocess.run(
        ["git", "-C", str(project), "archive", "--format=tar", revision], capture_output=True, check=False
    )
    if done.returncode:
        raise CheckpointError(f"git can't give {project} at {revision}: {done.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="nnx-migrate-") as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)
