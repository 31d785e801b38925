"""Modules whose packages can't be imported."""

import sys
from pathlib import Path

import pytest

from nnx_migrate.numerics.source import ModelSource, SourceNamespace


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a statement in a project of some files, whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(statement: str, files: dict[str, str]) -> SourceNamespace:
        write(tmp_path, files)
        return SourceNamespace(ModelSource("linen", str(tmp_path), "x", statement))

    yield run
    for name in [name for name in sys.modules if name.startswith("bare_")]:
        del sys.modules[name]


def test_packages_that_raise_are_left_out_and_named(project) -> None:
    files = {
        "bare_a/__init__.py": "from bare_a.models import Wrong",
        "bare_a/sub/__init__.py": "import not_installed_here",
        "bare_a/models.py": "class Net: pass",
        "bare_a/sub/deep.py": "from bare_a.models import Net\nfrom . import other\nx = other.y",
        "bare_a/sub/other.py": "y = 3",
    }
    names = project("from bare_a.sub.deep import Net, x", files)
    assert names.evaluate("x") == 3
    first, second = names.notes
    assert first.startswith(
        "imported without bare_a/__init__.py, which raises ImportError: cannot import name"
    )
    assert "bare_a.sub/__init__.py, which raises ModuleNotFoundError" in second


def test_a_module_at_fault_itself_raises_what_it_raises(project) -> None:
    files = {"bare_b/__init__.py": "", "bare_b/models.py": "import not_installed_here"}
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        project("from bare_b.models import Net", files)


def test_a_class_that_the_package_itself_defines_can_not_be_had_without_it(project) -> None:
    files = {"bare_c/__init__.py": "class Net: pass\nimport not_installed_here"}
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        project("from bare_c import Net", files)


def test_packages_from_elsewhere_are_not_touched(project, tmp_path: Path, monkeypatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"bare_d/__init__.py": "raise ValueError('broken')", "bare_d/part.py": "z = 1"})
    monkeypatch.syspath_prepend(str(elsewhere))
    source = ModelSource("linen", str(tmp_path / "own"), "x", "from bare_d.part import z")
    with pytest.raises(ValueError, match="broken"):
        SourceNamespace(source)
