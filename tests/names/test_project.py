from __future__ import annotations

import ast
from pathlib import Path

import pytest

from nnx_migrate.names.instances import Instances
from nnx_migrate.names.project import Project
from nnx_migrate.sources.files import load_source
from nnx_migrate.sources.text import SourceText


def project(root: Path, **files: str) -> Project:
    paths = []
    for name, text in files.items():
        path = root / (name.replace("__", "/").replace("/init/", "/__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return Project(sorted(paths), load_source)


def meaning(found: Project, path: Path, expression: str) -> str | None:
    """What the last statement `_ = <expression>`-like mention of an expression in a file resolves to."""
    module = found.module(path)
    assert module is not None
    nodes = [n for n in ast.walk(module.tree) if isinstance(n, ast.expr) and ast.unparse(n) == expression]
    node = max(nodes, key=lambda n: (n.lineno, n.col_offset))
    return found.resolve(node, module.scope_at(node), module)


SINGLE = [
    ("import flax.linen as nn\nnn.Dense", "nn.Dense", "flax.linen.Dense"),
    ("from flax import linen\nlinen.Dense", "linen.Dense", "flax.linen.Dense"),
    ("from flax.linen import Dense as D\nD", "D", "flax.linen.Dense"),
    ("import flax\nflax.linen.Dense", "flax.linen.Dense", "flax.linen.Dense"),
    ("def f():\n    import jax\n    return jax.jit", "jax.jit", "jax.jit"),
    ("import jax\ndef f(jax):\n    return jax.jit", "jax.jit", None),
    ("import jax\n[jax.jit for jax in x]", "jax.jit", None),
    ("import jax\n[jax.jit for y in x]", "jax.jit", "jax.jit"),
    ("import jax\nclass A:\n    jax = 1\n    def f(self):\n        return jax.jit", "jax.jit", "jax.jit"),
    ("import jax\njax = other()\njax.jit", "jax.jit", None),
    ("import jax\ntm = jax.tree_map\ntm", "tm", "jax.tree_map"),
    ("import jax\nimport jax.numpy\njax.jit", "jax.jit", "jax.jit"),
    (
        "try:\n    from jax import tree_map\nexcept ImportError:\n    from old import tree_map\ntree_map",
        "tree_map",
        None,
    ),
    ("from flax.linen import *\nDense", "Dense", "flax.linen.Dense"),
    ("from flax.linen import *\nfrom jax import *\nDense", "Dense", None),
    ("from flax.linen import *\nprint", "print", None),
    ("import jax\ndef f():\n    global jax\n    return jax.jit", "jax.jit", "jax.jit"),
    ("import jax\nlambda jax: jax.jit", "jax.jit", None),
    ("import jax\nmatch x:\n    case jax:\n        jax.jit", "jax.jit", None),
    ("import jax\nif (jax := 3): jax.jit", "jax.jit", None),
    ("import jax\nfor jax in x: jax.jit", "jax.jit", None),
    ("import jax\nwith f() as jax: jax.jit", "jax.jit", None),
    ("import jax\ndel jax\njax.jit", "jax.jit", None),
    ("a = b\nb = a\na", "a", None),
]


@pytest.mark.parametrize(("code", "expression", "expected"), SINGLE)
def test_names_of_one_file(tmp_path: Path, code: str, expression: str, expected: str | None) -> None:
    found = project(tmp_path, main=code)
    assert meaning(found, tmp_path / "main.py", expression) == expected


def test_reexports_and_relative_imports(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    files = {
        "pkg/__init__.py": "from .layers import *\nfrom .compat import tmap as mapped\n",
        "pkg/layers.py": "import flax.linen as nn\nDense = nn.Dense\nclass Block(nn.Module): pass\n",
        "pkg/compat.py": "from jax import tree_map as tmap\n",
        "pkg/sub/__init__.py": "",
        "pkg/sub/model.py": "from ..layers import Block\nfrom .. import layers as l\nBlock; l.Dense; l.Block\n",
        "main.py": "import pkg\nfrom pkg import Block, Dense, mapped\nBlock; Dense; mapped; pkg.Block; pkg.layers.Dense\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = Project([tmp_path / name for name in files], load_source)
    main, model = tmp_path / "main.py", tmp_path / "pkg/sub/model.py"
    assert meaning(found, main, "Block") == "pkg.layers.Block"
    assert meaning(found, main, "pkg.Block") == "pkg.layers.Block"
    assert meaning(found, main, "Dense") == "flax.linen.Dense"
    assert meaning(found, main, "pkg.layers.Dense") == "flax.linen.Dense"
    assert meaning(found, main, "mapped") == "jax.tree_map"
    assert meaning(found, model, "Block") == "pkg.layers.Block"
    assert meaning(found, model, "l.Dense") == "flax.linen.Dense"
    definition = found.definition("pkg.layers.Block")
    assert definition is not None
    assert isinstance(definition.node, ast.ClassDef)


def test_star_imports_pass_on_what_star_imports_brought(tmp_path: Path) -> None:
    files = {
        "layers.py": "from models import *\nclass Block: pass\nclass _Own: pass\n",
        "models.py": "from layers import *\nclass Net: pass\n",
        "main.py": "from models import *\nBlock; Net; _Own; other\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = Project([tmp_path / name for name in files], load_source)
    main = tmp_path / "main.py"
    assert meaning(found, main, "Block") == "layers.Block"
    assert meaning(found, main, "Net") == "models.Net"
    assert meaning(found, main, "_Own") is None
    assert meaning(found, main, "other") is None


def test_a_package_checked_from_inside_has_its_importable_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("class Block: pass\n")
    (tmp_path / "pkg" / "model.py").write_text("from . import Block\nBlock\n")
    monkeypatch.chdir(tmp_path / "pkg")
    found = Project([Path("__init__.py"), Path("model.py")], load_source)
    assert meaning(found, Path("model.py"), "Block") == "pkg.Block"


def test_scripts_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for folder, cls in (("a", "A"), ("b", "B")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "models.py").write_text(f"class {cls}: pass\n")
        (tmp_path / folder / "train.py").write_text(f"from models import {cls}\n{cls}\n")
    found = Project(sorted(tmp_path.rglob("*.py")), load_source)
    for folder, cls in (("a", "A"), ("b", "B")):
        qualified = meaning(found, tmp_path / folder / "train.py", cls)
        assert qualified is not None
        definition = found.definition(qualified)
        assert definition is not None
        assert definition.module.path == tmp_path / folder / "models.py"


def test_a_notebook_beside_a_module_of_its_name_is_another_module(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class Block: pass\n")
    (tmp_path / "model.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": ["class Block: pass\\n", "Block"]}], "nbformat": 4}'
    )
    (tmp_path / "train.py").write_text("from model import Block\nBlock\n")
    found = Project(sorted(tmp_path.iterdir()), load_source)
    assert meaning(found, tmp_path / "train.py", "Block") == "model.Block"
    assert meaning(found, tmp_path / "model.ipynb", "Block") == "model_ipynb.Block"
    for name, file in (("model.Block", "model.py"), ("model_ipynb.Block", "model.ipynb")):
        definition = found.definition(name)
        assert definition is not None
        assert definition.module.path == tmp_path / file


def test_a_script_finds_modules_of_any_folder_above(tmp_path: Path) -> None:
    (tmp_path / "src" / "nets").mkdir(parents=True)
    (tmp_path / "src" / "nets" / "cnn.py").write_text("class CNN: pass\n")
    (tmp_path / "src" / "train.py").write_text("from nets.cnn import CNN\nCNN\n")
    found = Project(sorted(tmp_path.rglob("*.py")), load_source)
    assert found.definition(meaning(found, tmp_path / "src/train.py", "CNN") or "") is not None


def test_what_stands_beside_a_script_comes_before_files_of_other_folders(tmp_path: Path) -> None:
    for folder in ("configs", "models"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "resnet.py").write_text("class ResNet: pass\n")
    (tmp_path / "models" / "__init__.py").write_text("")
    (tmp_path / "models" / "resnet_test.py").write_text("from resnet import ResNet\nResNet\n")
    found = Project(sorted(tmp_path.rglob("*.py")), load_source)
    assert meaning(found, tmp_path / "models/resnet_test.py", "ResNet") == "models.resnet.ResNet"


def test_a_package_may_have_a_subfolder_called_like_a_library(tmp_path: Path) -> None:
    for folder in ("agents", "agents/jax"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    user = tmp_path / "agents" / "jax" / "networks.py"
    user.write_text("import jax.numpy as jnp\njnp.concatenate\n")
    found = Project(sorted(tmp_path.rglob("*.py")), load_source)
    assert meaning(found, user, "jnp.concatenate") == "jax.numpy.concatenate"


INSTANCES = [
    ("from flax import nnx\no = nnx.Optimizer(m, t)\no", "o", "flax.nnx.Optimizer"),
    ("from flax import nnx\ndef f(o: nnx.Optimizer):\n    o", "o", "flax.nnx.Optimizer"),
    ("from flax import nnx\ndef f(o: 'nnx.Optimizer | None'):\n    o", "o", None),
    ("from flax import nnx\ndef f(o: nnx.Optimizer | None):\n    o", "o", "flax.nnx.Optimizer"),
    ("from flax import nnx\no = nnx.Optimizer(m)\no = other\no", "o", None),
    ("from flax import nnx\ndef f(o):\n    o\nf(nnx.Rngs(0))", "o", "flax.nnx.Rngs"),
    ("from flax import nnx\ndef f(o):\n    o\nf(nnx.Rngs(0))\nf(3)", "o", None),
    ("from flax import nnx\na, b = nnx.Rngs(0), 3\na", "a", "flax.nnx.Rngs"),
    ("from flax import nnx\n@nnx.jit\ndef f(o):\n    o\nf(nnx.Rngs(0))", "o", "flax.nnx.Rngs"),
    ("from flax import nnx\nclass A:\n    def __init__(self):\n        self.r = nnx.Rngs(0)\n    def f(self):\n        return self.r", "self.r", "flax.nnx.Rngs"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expression", "expected"), INSTANCES)
def test_instances(tmp_path: Path, code: str, expression: str, expected: str | None) -> None:
    found = project(tmp_path, main=code)
    module = found.module(tmp_path / "main.py")
    assert module is not None
    nodes = [
        n for n in ast.walk(module.tree)
        if isinstance(n, ast.expr) and ast.unparse(n) == expression and isinstance(n.ctx, ast.Load)  # type: ignore[attr-defined]
    ]  # fmt: skip
    assert Instances(module, found).class_of(nodes[-1]) == expected


def test_names_of_files_that_share_one_do_not_depend_on_where_the_project_stands(tmp_path: Path) -> None:
    names = []
    for copy in ("first", "second/deeper"):
        root = tmp_path / copy
        paths = [root / "a" / "model.py", root / "b" / "model.py", root / "main.py"]
        project = Project(paths, lambda path: SourceText(""))
        names.append([module.name for module in project.modules()])
    assert names[0] == names[1] == ["a.model", "b.model", "main"]


@pytest.mark.parametrize(
    ("folder", "mark", "imports", "expected"),
    [
        ("my-agents", "", "nets.cnn", "nets.cnn"),  # no import statement could say the folder's name
        ("agents", "pyproject.toml", "nets.cnn", "nets.cnn"),
        ("agents", "pyproject.toml", "agents.nets.cnn", "agents.nets.cnn"),
        ("agents", "setup.py", ".nets.cnn", "agents.nets.cnn"),
        ("agents", "", "nets.cnn", "agents.nets.cnn"),
    ],
)
def test_a_folder_that_holds_a_project_may_have_a_stray_init_file(
    tmp_path: Path, folder: str, mark: str, imports: str, expected: str
) -> None:
    root = tmp_path / folder
    (root / "nets").mkdir(parents=True)
    for name in ("__init__.py", "nets/__init__.py", *([mark] if mark else [])):
        (root / name).write_text("")
    (root / "nets" / "cnn.py").write_text("class CNN: pass\n")
    (root / "train.py").write_text(f"from {imports} import CNN\nCNN\n")
    found = Project(sorted(root.rglob("*.py")), load_source)
    assert meaning(found, root / "train.py", "CNN") == f"{expected}.CNN"
    assert found.definition(f"{expected}.CNN") is not None
