from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nnx_migrate.sources.discovery import PathError, discover


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a.py",
        "pkg/b.py",
        "pkg/notes.txt",
        "n.ipynb",
        ".venv/lib/c.py",
        "build/d.py",
        "pkg/__pycache__/e.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def names(paths: list[Path], root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in paths]


def test_folders_that_hold_no_code_of_ones_own_are_left_out(tree: Path) -> None:
    assert names(discover([tree]), tree) == ["a.py", "build/d.py", "n.ipynb", "pkg/b.py"]


def test_gitignored_files_are_left_out(tree: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    (tree / ".gitignore").write_text("build/\n.venv/\n*.ipynb\n__pycache__/\n")
    assert names(discover([tree]), tree) == ["a.py", "pkg/b.py"]
    assert names(discover([tree / "build" / "d.py"]), tree) == ["build/d.py"]  # named on purpose
    assert names(discover([tree / "build"]), tree) == ["build/d.py"]


@pytest.mark.parametrize("pattern", ["pkg", "pkg/*", "pkg/b.py", "b.py"])
def test_excluded(tree: Path, pattern: str) -> None:
    assert "pkg/b.py" not in names(discover([tree], [pattern], tree), tree)


def test_flax_itself_is_no_code_that_has_to_move(tree: Path) -> None:
    for name in ("flax/core.py", "flax/linen/module.py", "vendored/flax/linen/module.py", "pkg/flax/b.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    found = ["a.py", "build/d.py", "n.ipynb", "pkg/b.py", "pkg/flax/b.py"]
    assert names(discover([tree]), tree) == found
    assert names(discover([tree / "flax"]), tree) == ["flax/core.py", "flax/linen/module.py"]
    assert names(discover([tree / "flax" / "linen"]), tree) == ["flax/linen/module.py"]
    assert names(discover([tree / "flax" / "core.py"]), tree) == ["flax/core.py"]


def test_a_path_given_twice_counts_once(tree: Path) -> None:
    assert names(discover([tree / "a.py", tree, tree / "pkg"]), tree).count("a.py") == 1


def test_missing_paths_are_an_error(tree: Path) -> None:
    with pytest.raises(PathError, match="doesn't exist"):
        discover([tree / "nowhere"])
