"""`check` and `fix` over a sample of installed packages; `python -m benchmarks.packages` takes them all."""

from __future__ import annotations

import random
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.robustness import examine

SAMPLE = {"flax": 45, "optax": 45, "orbax.checkpoint": 45, "jax": 45}


@pytest.mark.parametrize("package", SAMPLE)
def test_installed_package(package: str, tmp_path: Path) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    root = Path(spec.submodule_search_locations[0])
    files = sorted(root.rglob("*.py"))
    target = tmp_path / root.name
    for file in random.Random(package).sample(files, SAMPLE[package]):
        copy = target / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    outcome = examine(target)
    assert outcome.problems == []
    assert outcome.unreadable == 0
