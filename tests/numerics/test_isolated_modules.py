import sys
from pathlib import Path

import pytest

from nnx_migrate.numerics.modules import IsolatedTree, load_file


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_two_files_of_one_name(tmp_path: Path) -> None:
    modules = [
        load_file(write(tmp_path / side, {"models.py": f"import json\nSIDE = {side!r}\n"}) / "models.py")
        for side in ("before", "after")
    ]
    assert [m.SIDE for m in modules] == ["before", "after"]
    assert [m.__name__ for m in modules] == ["models", "models"]
    assert "models" not in sys.modules


def test_dataclasses_with_postponed_annotations(tmp_path: Path) -> None:
    text = """from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar

@dataclass
class Config:
    size: int = 3
    kind: ClassVar[str] = "x"
"""
    module = load_file(write(tmp_path, {"config.py": text}) / "config.py", "some_config")
    assert module.Config(5).size == 5
    assert module.Config.__module__ == "some_config"


def test_a_module_that_was_there_before_stays(tmp_path: Path) -> None:
    import json as original

    load_file(write(tmp_path, {"json.py": "SIDE = 1\n"}) / "json.py")
    assert sys.modules["json"] is original


PACKAGE = {
    "pkg/__init__.py": "from pkg.layers import SIZE\n",
    "pkg/layers.py": "SIZE = {size}\ndef late():\n    from pkg import extra\n    return extra.SIZE\n",
    "pkg/extra.py": "from . import layers\nSIZE = layers.SIZE * 10\n",
}


def test_two_versions_of_a_package(tmp_path: Path) -> None:
    trees = [
        IsolatedTree(
            write(
                tmp_path / str(size),
                {name: text.replace("{size}", str(size)) for name, text in PACKAGE.items()},
            )
        )
        for size in (1, 2)
    ]
    packages = [tree.import_module("pkg") for tree in trees]
    assert [p.SIZE for p in packages] == [1, 2]
    assert not any(name.partition(".")[0] == "pkg" for name in sys.modules)
    for tree, size in zip(trees, (1, 2), strict=True):
        layers = tree.import_module("pkg.layers")
        with tree.active():
            assert layers.late() == size * 10  # an import inside a function finds its own tree
        assert tree.import_module("pkg.layers") is layers


def test_import_state_is_restored_after_an_error(tmp_path: Path) -> None:
    tree = IsolatedTree(
        write(tmp_path, {"broken.py": "import helper\nraise ValueError('no')\n", "helper.py": ""})
    )
    path = list(sys.path)
    with pytest.raises(ValueError, match="no"):
        tree.import_module("broken")
    assert sys.path == path
    assert "helper" not in sys.modules and "broken" not in sys.modules


def test_nothing_is_written_into_the_tree(tmp_path: Path) -> None:
    IsolatedTree(write(tmp_path, {"one.py": "import two\n", "two.py": ""})).import_module("one")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["one.py", "two.py"]
