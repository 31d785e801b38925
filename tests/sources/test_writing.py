from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nnx_migrate.sources.writing import write_atomically


def test_mode_bits_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("old")
    path.chmod(0o755)
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_symlink_stays_one_and_its_target_changes(tmp_path: Path) -> None:
    target, link = tmp_path / "real.py", tmp_path / "link.py"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.py"
    path.write_text("old")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_writing_leaves_old_or_new(tmp_path: Path) -> None:
    """A process that rewrites files in a loop is killed at arbitrary moments."""
    files = [tmp_path / f"{i}.py" for i in range(5)]
    old, new = b"a" * 200_000, b"b" * 200_000
    for file in files:
        file.write_bytes(old)
    program = (
        "import sys; from pathlib import Path; from nnx_migrate.sources.writing import write_atomically\n"
        f"files = [Path(p) for p in {[str(f) for f in files]!r}]\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for data in (b'a' * 200_000, b'b' * 200_000):\n"
        "        for file in files: write_atomically(file, data)\n"
    )
    for delay in (0.0, 0.01, 0.03, 0.05):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert {file.read_bytes() for file in files} <= {old, new}
