from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.engine.targets import TargetError, read_targets

PINS = [
    ("requirements.txt", "flax==0.10.6\n", False),
    ("requirements.txt", "flax>=0.10\n", True),
    ("requirements.txt", "# flax==0.1\njax\n", True),
    ("requirements.txt", "flax[all]<0.11,>=0.8  # old\n", False),
    ("requirements.txt", "flax~=0.10.6\n", False),
    ("requirements.txt", "flax~=0.10\n", True),
    ("requirements.txt", "Flax == 0.10.*\n", False),
    ("requirements/train.txt", "flax<=0.12.8\n", True),
    ("requirements.txt", "flax @ git+ssh://example/flax\n", True),
    ("pyproject.toml", "[project]\ndependencies = ['flax<0.11']\n", False),
    ("pyproject.toml", "[project.optional-dependencies]\ngpu = ['flax==0.10.1']\n", False),
    ("pyproject.toml", "[tool.poetry.dependencies]\nflax = '^0.10.6'\n", False),
    ("pyproject.toml", "[tool.poetry.dependencies]\nflax = {version = '^0.12', extras = ['x']}\n", True),
    ("pyproject.toml", "[dependency-groups]\ndev = ['flax==0.10.1']\n", False),
    ("pyproject.toml", "this flax is not toml", True),
    ("uv.lock", "[[package]]\nname = 'flax'\nversion = '0.10.6'\n", False),
    ("Pipfile.lock", '{"default": {"flax": {"version": "==0.10.6"}}}', False),
    ("setup.py", "setup(install_requires=['numpy', 'flax<0.11'])\n", False),
    ("setup.cfg", "[options]\ninstall_requires =\n    flax==0.9\n", False),
    ("environment.yml", "dependencies:\n  - flax=0.10.2\n", False),
]


@pytest.mark.parametrize(("name", "text", "has"), PINS)
def test_pins_decide_whether_an_api_may_be_written(tmp_path: Path, name: str, text: str, has: bool) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    targets = read_targets(tmp_path)
    assert targets.has("flax", "0.11") is has
    assert targets.concerned("flax>=0.11") is has
    assert targets.has("jax", "0.10")
    assert targets.concerned("")


def test_the_strictest_pin_counts_and_the_command_line_beats_it(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("flax>=0.8\n")
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['flax<0.9']\n")
    assert not read_targets(tmp_path).has("flax", "0.9")
    assert read_targets(tmp_path, "0.12.8").has("flax", "0.12.1")
    assert not read_targets(tmp_path, "0.10").has("flax", "0.11")
    with pytest.raises(TargetError, match="newest"):
        read_targets(tmp_path, "newest")
