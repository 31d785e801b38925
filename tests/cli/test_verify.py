from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnx_migrate.demo import PROJECT
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo project in a git repository, converted and not committed."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "linen"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    fix = [sys.executable, "-m", "nnx_migrate", "fix", "--no-cache", "."]
    subprocess.run(fix, cwd=folder, check=True, capture_output=True)
    return folder


def verify(run: Run, folder: Path) -> tuple[int, list[dict]]:
    result = run("verify", str(folder), "--steps", "2", "--output-format", "json")
    return result.exit_code, json.loads(result.output)


def test_the_converted_demo_is_equal(converted: Path, run: Run) -> None:
    code, (row,) = verify(run, converted)
    assert code == 0
    assert row["model"] == "models:CNN"
    assert row["verdict"] == "equal"
    compared = {check["name"] for check in row["checks"]}
    assert compared >= {"eval/jit/output", "train/jit/gradients", "train/jit/state", "training/jit/state"}


def test_a_wrong_momentum_is_caught(converted: Path, run: Run) -> None:
    models = converted / "models.py"
    right = models.read_text()
    assert "momentum=0.9" in right
    models.write_text(right.replace("momentum=0.9", "momentum=0.8"))
    try:
        code, (row,) = verify(run, converted)
    finally:
        models.write_text(right)
    assert code == 1
    assert {c["name"] for c in row["checks"] if c["status"] == "different"} >= {"train/jit/state"}


def test_without_a_recorded_map_it_says_so(project: Path, run: Run) -> None:
    result = run("verify", ".")
    assert result.exit_code == 2
    assert "parameters.json is missing" in result.output
