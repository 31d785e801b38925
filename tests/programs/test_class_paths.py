"""Code that imports classes by their paths, `"models.nets.CNN"`: texts of the project say which."""

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.sources.files import load_source
from tests.programs.test_refusals import MODEL, PATH, reasons
from tests.rules.harness import fix_files, resolve_rules

USED = "Net().init(key, x)\n"
LISTED = """
class Settings:
    def shown(self):
        return [*self.__dict__]


def show(settings):
    print(vars(settings), dir(settings))
"""
SPLIT = """
import importlib


def load(path):
    place, name = path.rsplit(".", 1)
    module = importlib.import_module(place)
    return getattr(module, name)
"""
RELOADED = """
import importlib


def load(path, reload=False):
    place, name = path.rsplit(".", 1)
    if reload:
        found = importlib.import_module(place)
        importlib.reload(found)
    return getattr(importlib.import_module(place, package=None), name)


def instantiate(config):
    return load(config["target"])(**config.get("params", dict()))
"""
PARTS = """
import importlib


def load(path):
    parts = path.split(".")
    return getattr(importlib.import_module(".".join(parts[:-1])), parts[-1])
"""


@pytest.mark.parametrize(
    "load",
    [
        SPLIT,
        SPLIT.replace('rsplit(".", 1)', 'split(":")'),
        SPLIT.replace('place, name = path.rsplit(".", 1)', 'place, _, name = path.rpartition(".")'),
        RELOADED,
        PARTS,
        PARTS.replace("    parts = ", "    # the last one names it\n    parts = "),
    ],
)
@pytest.mark.parametrize(
    ("code", "is_hidden"),
    [
        (USED, False),
        # texts that are no paths choose nothing, and neither do lists of names
        (USED + "NAMES = ['Net', 'the Net']\n", False),
        (USED + LISTED, False),
        (USED + "def label(part, i):\n    return f'{part}: {i}', f'{part}.Ne', 'at %0.2f' % i\n", False),
        (USED + "import os\nplace = os.path.join('nets', key)\nother = f'elsewhere.{key}'\n", False),
        # a path, by itself or put together of pieces
        (USED + "load('nets.Net')\n", True),
        (USED + "load('pkg.main:Net')\n", True),
        (USED + "def find(name):\n    return load(f'main.{name}')\nNAMES = ['Net']\n", True),
        (USED + "def find(place, name):\n    return load(place + '.' + name)\nNAMES = ['Net']\n", True),
        (USED + "def find(name):\n    return load('pkg.main:%s' % name)\nNAMES = ['Net']\n", True),
        (USED + "def find(name):\n    return load('main.{}'.format(name))\nNAMES = ['Net']\n", True),
        (USED + "def find(*names):\n    return load('.'.join(names))\nNAMES = ['Net']\n", True),
        (USED + "def find(path):\n    return load(path.replace('/', '.'))\nload('zoo/Net')\n", True),
        (USED + "def find(place, kind):\n    return load(f'{place}.{kind}et')\nKINDS = ['Net']\n", True),
        # nothing else names it
        ("", True),
    ],
)
def test_only_a_path_names_a_class(load: str, code: str, is_hidden: bool) -> None:
    assert ("hidden-use" in reasons(load + code)) is is_hidden


@pytest.mark.parametrize(
    "load",
    [
        # the name is a text of its own, or one that code changes
        SPLIT.replace("def load(path):", "def load(path, name):").replace("place, name =", "place, _ ="),
        SPLIT.replace("module, name)", "module, name.title())"),
        SPLIT.replace("    module =", "    name = settings.name or name\n    module ="),
        SPLIT.replace("place, name", "name, place"),
        SPLIT.replace("rsplit", "cut"),
        SPLIT.replace('"."', "separator"),
        PARTS.replace("parts[-1]", "parts[0]"),
        PARTS.replace("parts[-1]", "others[-1]"),
        # what is imported goes elsewhere
        RELOADED.replace("importlib.reload(found)", "collect(found)"),
        RELOADED.replace("importlib.reload(found)", "collect(importlib.reload(found))"),
        # the project's own method takes it apart
        "class Keys:\n    def rsplit(self, separator, at):\n        return self.place, self.name\n" + SPLIT,
    ],
)
def test_names_that_are_no_part_of_a_path(load: str) -> None:
    assert "hidden-use" in reasons(load + USED + "NAMES = ['Net']\n")


@pytest.mark.parametrize("text", ["network: main.Net\n", "network: {target: 'pkg.main:Net'}\n"])
def test_a_configuration_that_names_it_keeps_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "main.py").write_text(MODEL + SPLIT + USED)
    (tmp_path / "config.yaml").write_text(text)
    files = {tmp_path / "main.py": MODEL + SPLIT + USED}
    groups = make_plan(Project(list(files), load_source), tmp_path)
    assert [group.can_move for group in groups] == [False]
    (tmp_path / "config.yaml").write_text("network: something.Else\n")
    groups = make_plan(Project(list(files), load_source), tmp_path)
    assert [group.can_move for group in groups] == [True]


def test_a_project_that_imports_other_classes_by_their_paths() -> None:
    code = MODEL + RELOADED + USED + "envs = [instantiate(c) for c in [{'target': 'zoo.Maze'}]]\n"
    after = fix_files({PATH: code}, resolve_rules(["linen-module"]))[0][PATH]
    assert "from flax import nnx" in after
