"""README's first command, whole."""

import subprocess
import sys
from pathlib import Path


def test_the_demo_ends_with_everything_equal(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "nnx_migrate", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lines = done.stdout.splitlines()
    shown = [line.partition("$ ")[2].split()[:2] for line in lines if "$ nnx-migrate" in line]
    assert [words[1] for words in shown] == ["check", "fix", "fix", "verify", "checkpoint", "checkpoint"]
    assert any(line.split()[:2] == ["models:CNN", "equal"] for line in lines)
    assert "  all equal, bit for bit" in lines
    assert lines[-1] == "passed"
    assert list(tmp_path.glob("nnx-migrate-demo-*")) == []
