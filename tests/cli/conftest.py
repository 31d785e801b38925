from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnx_migrate.cli import group

Run = Callable[..., Result]
OUTDATED = "import jax\n\n\ndef double(x):\n    return jax.tree_map(lambda y: 2 * y, x)\n"
FIXED = OUTDATED.replace("jax.tree_map", "jax.tree.map")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run the program in this process."""

    def call(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(group, list(args), input=stdin, prog_name="nnx-migrate")

    return call
