import json
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project"
sys.path.insert(0, str(PROJECT))


@pytest.fixture
def write_map(tmp_path):
    """Writes a parameter map: the project's, or one with other entries for some classes."""
    import maps

    def write(**changed):
        entries = maps.MODULES | {f"new_models:{name}": value for name, value in changed.items()}
        file = tmp_path / "parameters.json"
        modules = {name: {"entries": value} for name, value in entries.items()}
        file.write_text(json.dumps({"version": 1, "modules": modules}))
        return file

    return write


@pytest.fixture
def project():
    return PROJECT
