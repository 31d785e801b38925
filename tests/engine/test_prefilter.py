"""What is never parsed: the speed of `check` on large projects, without a clock."""

from pathlib import Path

import pytest

from nnx_migrate.config import Config
from nnx_migrate.engine.catalog import all_cards
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.prefilter import Prefilter
from nnx_migrate.engine.scan import Scanner
from nnx_migrate.engine.targets import Targets
from nnx_migrate.names.project import Project
from nnx_migrate.sources.files import load_source

TRIGGERS = {"jax.tree_map", "jax.tree.map", "jax.lib.xla_bridge.*", "flax.optim.*"}

MENTIONS = [
    ("import jax\njax.tree_map(f, t)", True),
    ("from jax import tree_map as tm\ntm(f, t)", True),
    ("from jax import tree as T\nT . map(f, t)", True),
    ("import jax.lib.xla_bridge as xb\nxb.get_backend()", True),
    ("from jax.lib import (\n    xla_bridge,\n)", True),
    ("from common import *\njax.tree_map(f, t)", True),
    ("from flax import nnx\nfrom common import *\ntree_map(f, t)", True),  # whose, the star decides
    ("import jax\nmap(f, t)", False),
    ("import jax\njax.lib.something()", False),
    ("import torch\ntree_map(f, t)", False),
    ("import flax\nimport optim", True),  # the words are all there: parsing tells
    ("import flax\noptimizer = 1", False),
    ("x = 1", False),
]


@pytest.mark.parametrize(("code", "expected"), MENTIONS)
def test_a_file_is_looked_at_if_all_words_of_a_trigger_are_in_it(code: str, expected: bool) -> None:
    assert Prefilter(TRIGGERS, own=lambda package: False).may_concern(code.encode()) is expected


def test_packages_of_the_project_itself_are_no_triggers() -> None:
    own = Prefilter(TRIGGERS, own=lambda package: package == "jax")
    assert not own.may_concern(b"import jax\njax.tree_map(f, t)")
    assert own.may_concern(b"import flax.optim")


def parsed(files: dict[str, str], root: Path) -> set[str]:
    """The files that a whole check parses."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    project = Project([root / name for name in sorted(files)], load_source)
    cards = list(all_cards(use_cache=False).values())
    scanner = Scanner(ProjectContext(project, Config(root=root), Targets()), cards, Path.read_bytes)
    scanner.files(project.paths)
    scanner.whole_project()
    return {path.relative_to(root).as_posix() for path in project.consulted}


def test_few_files_of_a_large_project_are_parsed(tmp_path: Path) -> None:
    files = {f"data/part{i}.py": f"import jax\nimport optax\nSIZE = {i}\n" for i in range(200)}
    files |= {f"text{i}.py": "def optimizer(map, tree):\n    return map(tree)\n" for i in range(100)}
    files["old.py"] = "import jax\njax.tree_map(print, {})\n"
    files["model.py"] = (
        "import flax.linen as nn\nclass Net(nn.Module):\n    def __call__(self, x):\n        return x\n"
    )
    files["use.py"] = "from model import Net\nclass Wide(Net):\n    pass\n"
    assert parsed(files, tmp_path) == {"old.py", "model.py", "use.py"}


def test_a_check_leaves_no_syntax_trees_behind(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("import flax.linen as nn\nclass Net(nn.Module):\n    pass\n")
    project = Project([path], load_source)
    cards = [card for card in all_cards(use_cache=False).values() if card.id == "linen-module"]
    scanner = Scanner(ProjectContext(project, Config(root=tmp_path), Targets()), cards, Path.read_bytes)
    assert [finding.line for finding in scanner.whole_project().findings] == [2]
    assert project.loaded == []
