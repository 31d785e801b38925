"""What a module imports, read off its text."""

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.sources.discovery import discover
from nnx_migrate.sources.files import load_source
from nnx_migrate.verification.imports import Imported, imported_by

FILES = {
    "pkg/__init__.py": "import first_absent",
    "pkg/models/__init__.py": "",
    "pkg/models/cnn.py": """
import os.path
import jax.numpy as jnp
from typing import TYPE_CHECKING
from . import layers
from ..data import load
import second_absent.part as part

try:
    import optional_absent
except ImportError:
    optional_absent = None
if TYPE_CHECKING:
    import typing_absent
else:
    import third_absent

def train():
    import late_absent

class Holder:
    import fourth_absent
""",
    "pkg/models/layers.py": "from pkg.models.cnn import Holder",
    "pkg/data.py": "",
    "pkg/unused.py": "import fifth_absent",
}


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    project = Project(discover([tmp_path]), load_source)
    module = project.module(tmp_path / "pkg/models/cnn.py")
    assert module is not None
    found = imported_by(project, module)
    found.files = {path.relative_to(tmp_path) for path in found.files}
    return found


def test_files_of_the_project_across_packages_and_circles(imported: Imported) -> None:
    assert {path.as_posix() for path in imported.files} == set(FILES) - {"pkg/unused.py"}


def test_packages_that_have_to_be_installed_and_are_not(imported: Imported) -> None:
    assert imported.missing == [f"{number}_absent" for number in ("first", "fourth", "second", "third")]
    assert {"os", "jax", "typing"} <= imported.packages
