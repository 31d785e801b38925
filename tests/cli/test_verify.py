from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from click.testing import CliRunner

from nnx_migrate.cli import group
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


@pytest.fixture(scope="module")
def verified(converted: Path) -> tuple[int, dict, str]:
    """Exit code, JSON and HTML for the converted demo."""
    page = converted.parent / "report.html"
    options = ["--steps", "2", "--no-eager", "--output-format", "json", "--html", str(page)]
    result = CliRunner().invoke(group, ["verify", str(converted), *options])
    return result.exit_code, json.loads(result.output), page.read_text()


def test_the_converted_demo_is_equal(verified: tuple[int, dict, str]) -> None:
    code, document, _ = verified
    (row,) = document["models"]
    assert code == 0
    assert row["model"] == "models:CNN"
    assert row["verdict"] == "equal"
    assert row["parameters"] > 0
    assert row["platform"] == jax.default_backend()
    compared = {check["name"] for check in row["checks"]}
    assert compared >= {"eval/jit/output", "train/jit/gradients", "train/jit/state", "training/jit/state"}
    assert document["not_covered"] == []


def test_the_parameter_map_and_the_sources_are_reported(verified: tuple[int, dict, str]) -> None:
    _, document, page = verified
    pairs = {tuple(p["linen"]): tuple(p["nnx"]) for p in document["models"][0]["parameter_map"]}
    assert pairs[("params/Dense_1/kernel",)] == ("dense_1/kernel",)
    assert f"Computed on {jax.default_backend()}" in page
    assert "class CNN(nn.Module):" in page
    assert "class CNN(nnx.Module):" in page
    assert "batch_norms/0/mean" in page


def test_a_wrong_momentum_is_caught(converted: Path, run: Run) -> None:
    models = converted / "models.py"
    right = models.read_text()
    assert "momentum=0.9" in right
    models.write_text(right.replace("momentum=0.9", "momentum=0.8"))
    try:
        result = run("verify", str(converted), "--steps", "0", "--no-eager")
    finally:
        models.write_text(right)
    assert result.exit_code == 1
    assert "train/jit/state: different" in result.output


def test_models_can_be_chosen(converted: Path, run: Run) -> None:
    result = run("verify", str(converted), "--model", "Other")
    assert result.exit_code == 1
    assert "No model found" in result.output


def test_a_project_without_a_model_says_what_to_do(project: Path, run: Run) -> None:
    (project / "a.py").write_text("x = 1\n")
    result = run("verify", ".", "--before", ".")
    assert result.exit_code == 1
    assert "[[tool.nnx-migrate.verify]]" in result.output


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('model = "CNN"', 'CNN: model must read like "pkg.models:CNN"'),
        ('model = "a:B"\nshape = [1]', "a:B: unknown: shape"),
    ],
)
def test_a_wrong_table_is_named(project: Path, run: Run, table: str, message: str) -> None:
    (project / "pyproject.toml").write_text(f"[[tool.nnx-migrate.verify]]\n{table}\n")
    result = run("verify", ".", "--before", ".")
    assert result.exit_code == 2
    assert "pyproject.toml" in result.output
    assert message in result.output


def test_without_git_or_folder_there_is_no_code_before(project: Path, run: Run) -> None:
    result = run("verify", ".")
    assert result.exit_code == 2
    assert "--before FOLDER" in result.output


def test_a_damaged_map_is_named(project: Path, run: Run) -> None:
    (project / ".nnx-migrate").mkdir()
    (project / ".nnx-migrate" / "parameters.json").write_text("{")
    result = run("verify", ".", "--before", ".")
    assert result.exit_code == 2
    assert "parameters.json" in result.output
