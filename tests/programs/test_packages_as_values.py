"""Packages as values: what code reads of their modules no import shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.harness import resolve_rules, scanner_for

NETS = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x)
"""
MAIN = """\
import importlib, sys
import jax, jax.numpy as jnp
import zoo.nets
from zoo.nets import Net
from config import name

key, x = jax.random.key(0), jnp.ones((1, 3))
Net().init(key, x)
"""
HIDDEN = [
    "package = zoo\npackage.nets.Net().init(key, x)\n",
    "importlib.import_module('zoo').nets.Net().init(key, x)\n",
    "getattr(zoo, 'nets').Net().init(key, x)\n",
    "getattr(zoo, name).Net().init(key, x)\n",
    "def make(package):\n    return package.nets.Net()\nmake(zoo).init(key, x)\n",
    "def make(package):\n    return getattr(package, name).Net()\nmake(zoo).init(key, x)\n",
    "sys.modules['zoo'].nets.Net().init(key, x)\n",
    "getattr(importlib.import_module('zoo'), name).Net().init(key, x)\n",
]
SEEN = [
    "zoo.nets.Net().init(key, x)\n",
    "import zoo as known\nknown.nets.Net().init(key, x)\n",
    "package = zoo\nprint(package.nets.WIDTH)\n",
    "print(getattr(zoo, name)(3))\n",  # no module is called
]


def reasons(folder: Path, code: str, marked: bool) -> set[str]:
    """Why `Net` stays Linen, "" where it moves."""
    files = {folder / "zoo" / "nets.py": NETS, folder / "main.py": MAIN + code}
    if marked:
        files[folder / "zoo" / "__init__.py"] = ""
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    scanner = scanner_for(files, resolve_rules(["linen-module"]))
    return {f.reason for f in scanner.whole_project(plan=True).findings if "`Net`" in f.message}


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("code", HIDDEN)
def test_a_class_that_is_found_through_its_package_stays(tmp_path: Path, code: str, marked: bool) -> None:
    assert reasons(tmp_path, code, marked) == {"hidden-use"}


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("code", SEEN)
def test_what_is_seen_or_reads_something_else(tmp_path: Path, code: str, marked: bool) -> None:
    assert reasons(tmp_path, code, marked) == {""}
