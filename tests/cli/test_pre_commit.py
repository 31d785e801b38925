"""The hooks of `.pre-commit-hooks.yaml`, run by the real pre-commit in a real repository.

`language: system` takes the installed program, so that nothing has to be fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import FIXED, OUTDATED

pytest.importorskip("pre_commit")
ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A user's repository whose configuration names both hooks, and a repository that offers them."""
    hooks, repository = tmp_path / "hooks", tmp_path / "project"
    for folder in (hooks, repository):
        folder.mkdir()
        git(folder, "init", "-q")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git(hooks, "add", ".")
    git(hooks, "commit", "-q", "-m", "hooks")
    (repository / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {hooks}\n  rev: {git(hooks, 'rev-parse', 'HEAD')}\n  hooks:\n"
        "  - id: nnx-migrate-check\n    language: system\n"
        "  - id: nnx-migrate-fix\n    language: system\n    stages: [manual]\n"
    )
    (repository / "old.py").write_text(OUTDATED)
    (repository / "new.py").write_text(FIXED)
    (repository / "prose.txt").write_text(OUTDATED)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    return repository


def pre_commit(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(repository.parent / "cache"),
    }
    command = [sys.executable, "-m", "pre_commit", *arguments]
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )


def test_check_fails_for_outdated_files_and_passes_for_others(repository: Path) -> None:
    result = pre_commit(repository, "run", "nnx-migrate-check", "--all-files")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "old.py:5:12: jax-tree" in result.stdout
    assert "new.py" not in result.stdout
    assert "prose.txt" not in result.stdout
    assert pre_commit(repository, "run", "nnx-migrate-check", "--files", "new.py").returncode == 0


def test_a_commit_with_outdated_code_is_stopped(repository: Path) -> None:
    assert pre_commit(repository, "install").returncode == 0
    (repository / "more.py").write_text(OUTDATED)
    git(repository, "add", "more.py")
    environment = {**os.environ, "PRE_COMMIT_HOME": str(repository.parent / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-m", "more"]
    result = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "more.py:5:12" in result.stdout + result.stderr


def test_fix_changes_the_files_and_so_fails_once(repository: Path) -> None:
    stage = ("--hook-stage", "manual", "--all-files")
    first = pre_commit(repository, "run", "nnx-migrate-fix", *stage)
    assert first.returncode == 1, first.stdout + first.stderr
    assert "files were modified by this hook" in first.stdout
    assert (repository / "old.py").read_text() == FIXED
    assert (repository / "prose.txt").read_text() == OUTDATED
    assert pre_commit(repository, "run", "nnx-migrate-fix", *stage).returncode == 0
