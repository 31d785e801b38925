"""The helper module that migrated code imports: written once, and extended when more is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.helpers.placement import helper_import, helper_path
from nnx_migrate.sources.text import SourceText
from tests.rules.harness import fix_files, resolve_rules

DENSE = """\
import flax.linen as nn
import jax, jax.numpy as jnp


class A(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x)


v = A().init(jax.random.key(0), jnp.ones((1, 3)))
"""
GRU = DENSE.replace("nn.Dense(2)(x)", "nn.GRUCell(2)(x, x)[0]")
RULES = resolve_rules(["linen-module"])


def test_a_second_run_extends_what_the_first_has_written(tmp_path: Path) -> None:
    first, second, helpers = (tmp_path / f"{name}.py" for name in ("first", "second", "nnx_compat"))
    texts, _ = fix_files({first: DENSE}, RULES)
    for path, text in texts.items():
        path.write_text(text)
    assert "LinenGRUCell" not in texts[helpers]
    after, _ = fix_files({**texts, second: GRU}, RULES)
    assert "class Functional" in after[helpers]
    assert "class LinenGRUCell" in after[helpers]
    assert "from nnx_compat import Functional, LinenGRUCell" in after[second]
    assert after[first] == texts[first]


def test_a_class_that_comes_later_uses_the_helpers_that_its_file_imports(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    texts, _ = fix_files({model: GRU}, RULES)
    for path, text in texts.items():
        path.write_text(text)
    later = GRU.replace("class A", "class B").replace("v = A()", "w = B()")
    after, _ = fix_files({**texts, model: texts[model] + "\n\n" + later}, RULES)
    assert "class B(nnx.Module)" in after[model]
    assert after[model].count("LinenGRUCell(") == 2
    assert after[model].count("import Functional, LinenGRUCell") == 1


def test_a_file_with_a_name_of_its_own_is_left_alone() -> None:
    path = Path("/project/main.py")
    files = {path: DENSE + "\n\nclass Functional:\n    pass\n"}
    texts, _ = fix_files(files, RULES)
    assert texts == files


def test_one_helper_module_per_package(tmp_path: Path) -> None:
    inner = tmp_path / "pkg" / "sub"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    deep = Module(inner / "models.py", "pkg.sub.models", SourceText(""))
    script = Module(tmp_path / "train.py", "train", SourceText(""))
    project = Project([deep.path, script.path], lambda path: SourceText(""))
    assert helper_path(deep, project) == tmp_path / "pkg" / "nnx_compat.py"
    assert helper_import(deep, "Functional", project).statement == "from pkg.nnx_compat import Functional"
    assert helper_path(script, project) == tmp_path / "nnx_compat.py"
    assert helper_import(script, "Functional", project).statement == "from nnx_compat import Functional"


def test_a_repository_that_is_no_package_though_marked_as_one(tmp_path: Path) -> None:
    inner = tmp_path / "my-models" / "nets"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    deep = Module(inner / "models.py", "nets.models", SourceText(""))
    script = Module(inner.parent / "train.py", "train", SourceText(""))
    project = Project([deep.path, script.path], lambda path: SourceText(""))
    assert helper_path(deep, project) == inner / "nnx_compat.py"
    assert helper_import(deep, "Functional", project).statement == "from nets.nnx_compat import Functional"
    assert helper_path(script, project) == inner.parent / "nnx_compat.py"
    assert helper_import(script, "Functional", project).statement == "from nnx_compat import Functional"


def test_a_repository_marked_as_a_package_whose_scripts_import_what_stands_in_it(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    model, train, layers = root / "nets" / "model.py", root / "train.py", root / "layers.py"
    model.parent.mkdir(parents=True)
    for folder in (root, model.parent):
        (folder / "__init__.py").touch()
    files = {
        model: DENSE,
        layers: DENSE,
        train: "from nets.model import A\nfrom layers import A as B\n",
    }
    texts, _ = fix_files(files, RULES)
    assert "from nets.nnx_compat import Functional" in texts[model]
    assert "from nnx_compat import Functional" in texts[layers]
    assert {root / "nnx_compat.py", model.parent / "nnx_compat.py"} < set(texts)


@pytest.mark.parametrize("other", ["from repository.nets.model import A\n", "from .nets.model import A\n"])
def test_a_package_that_a_script_within_it_also_finds_otherwise(tmp_path: Path, other: str) -> None:
    root = tmp_path / "repository"
    model, train = root / "nets" / "model.py", root / "train.py"
    model.parent.mkdir(parents=True)
    for folder in (root, model.parent):
        (folder / "__init__.py").touch()
    files = {model: DENSE, train: "from nets.model import A\n", root / "api.py": other}
    texts, _ = fix_files(files, RULES)
    assert "from repository.nnx_compat import Functional" in texts[model]


def test_a_folder_that_is_imported_as_a_package_without_being_marked_as_one(tmp_path: Path) -> None:
    model, train = tmp_path / "lib" / "nets" / "model.py", tmp_path / "train.py"
    files = {
        model: DENSE,
        model.with_name("other.py"): "import train\n",
        train: "import os, lib.nets.model\nfrom lib.nets import other\nimport nets\n",
    }
    texts, _ = fix_files(files, RULES)
    assert "from lib.nets.nnx_compat import Functional" in texts[model]
    assert model.with_name("nnx_compat.py") in texts


@pytest.mark.parametrize(
    ("folder", "more", "expected"),
    [
        ("nets", "", "from nets.nnx_compat import Functional"),
        ("nets", "if __name__ == '__main__':\n    print(v)\n", "from nnx_compat import Functional"),
        ("scripts", "", "from nnx_compat import Functional"),
    ],
)
def test_a_folder_that_is_installed(tmp_path: Path, folder: str, more: str, expected: str) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    model = tmp_path / folder / "model.py"
    texts, _ = fix_files({model: f"{DENSE}\n{more}"}, RULES)
    assert expected in texts[model]


def test_a_folder_whose_files_import_their_neighbours_relatively(tmp_path: Path) -> None:
    model = tmp_path / "nets" / "model.py"
    files = {model: DENSE.replace("import jax,", "from .sizes import WIDTH\nimport jax,")}
    texts, _ = fix_files({**files, model.with_name("sizes.py"): "WIDTH = 3\n"}, RULES)
    assert "from .nnx_compat import Functional" in texts[model]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ("from .sizes import WIDTH", "from ..nnx_compat import Functional"),
        ("from ..sizes import WIDTH", "from ..nnx_compat import Functional"),
        ("from .sizes import WIDTH\nfrom pkg.sub import sizes", "from pkg.nnx_compat import Functional"),
        ("import os", "from pkg.nnx_compat import Functional"),
    ],
)
def test_files_name_their_package_as_they_do(tmp_path: Path, others: str, expected: str) -> None:
    deep = tmp_path / "pkg" / "sub" / "models.py"
    deep.parent.mkdir(parents=True)
    for folder in (deep.parent, deep.parent.parent):
        (folder / "__init__.py").touch()
    main = "from pkg.sub.models import A\n"
    texts, _ = fix_files({deep: f"{others}\n{DENSE}", tmp_path / "train.py": main}, RULES)
    assert expected in texts[deep].splitlines()
    assert tmp_path / "pkg" / "nnx_compat.py" in texts


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("from pkg.nets import model", "from pkg.nnx_compat import Functional"),
        ("from pkg import nets", "from pkg.nnx_compat import Functional"),
        ("import pkg", "from pkg.nnx_compat import Functional"),
    ],
)
def test_scripts_name_the_package_whose_files_name_each_other_relatively(
    tmp_path: Path, named: str, expected: str
) -> None:
    package = tmp_path / "pkg"
    (package / "nets").mkdir(parents=True)
    files = {
        package / "__init__.py": "from .nets import A\n",
        package / "nets" / "__init__.py": "from .model import A\n",
        package / "nets" / "model.py": DENSE.partition("\n\nv = ")[0].replace(
            "import jax,", "from ..sizes import WIDTH\nimport jax,"
        ),
        package / "sizes.py": "WIDTH = 3\n",
        tmp_path
        / "bin"
        / "train.py": f"import jax, jax.numpy as jnp\n{named}\nfrom pkg.nets.model import A\n\nv = {DENSE.rpartition('v = ')[2]}",
    }
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_text(files[path])
    texts, _ = fix_files(files, RULES)
    assert expected in texts[tmp_path / "bin" / "train.py"].splitlines()
    assert package / "nnx_compat.py" in texts


def test_helpers_are_imported_beside_flax_not_where_a_platform_is_set_up() -> None:
    path = Path("/project/train.py")
    set_up = "import os\nfrom jax import config\n\nconfig.update('jax_platforms', os.environ['PLATFORM'])\n\n"
    texts, _ = fix_files({path: set_up + DENSE}, RULES)
    assert texts[path].startswith(set_up)
    assert "\nfrom nnx_compat import Functional\n" in texts[path]


@pytest.mark.parametrize(("name", "in_folder"), [("blocks.py", True), ("blocks.pct.py", False)])
def test_a_file_that_no_import_can_name(tmp_path: Path, name: str, in_folder: bool) -> None:
    first, main = tmp_path / "nets" / name, tmp_path / "main.py"
    first.parent.mkdir()
    texts, _ = fix_files({first: GRU, main: "import os\n"}, RULES)
    assert ("except ImportError:  # beside a script" in texts[first]) is in_folder


# In `nets/blocks.py`, which `main.py` does or doesn't reach, and what it imports besides.
@pytest.mark.parametrize(
    ("beside", "imports", "in_folder"),
    [
        ("nets/train.py", "import jax", True),  # `import nets.blocks` works from the folder above
        ("train.py", "import jax", True),
        ("nets/sizes.py", "import sizes", False),  # the file works beside its neighbours only
        ("nets/train.py", "from . import sizes", False),
    ],
)
def test_a_file_that_may_be_part_of_a_folder_or_stand_beside_scripts(
    tmp_path: Path, beside: str, imports: str, in_folder: bool
) -> None:
    (tmp_path / "nets").mkdir()
    first, second, main = tmp_path / "nets" / "blocks.py", tmp_path / beside, tmp_path / "main.py"
    files = {first: f"{imports}\n\n{GRU}", second: "import os\n", main: "import os\n"}
    texts, _ = fix_files(files, RULES)
    lines = texts[first].splitlines()
    assert ("except ImportError:  # beside a script" in lines) is in_folder
    if in_folder:
        for path, text in texts.items():
            path.write_text(text)
        for folder, name in ((tmp_path, "nets.blocks"), (tmp_path / "nets", "blocks")):
            run = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=folder, check=False)
            assert run.returncode == 0
        assert fix_files(texts, RULES)[0] == texts


@pytest.mark.parametrize(
    ("imports", "runs_alone"), [("", True), ("from runs import sizes\n", False), ("import ppo.sizes\n", True)]
)
def test_a_script_in_a_package_runs_alone_and_as_a_part_of_it(
    tmp_path: Path, imports: str, runs_alone: bool
) -> None:
    package = tmp_path / "runs"
    inner = package / "ppo"
    inner.mkdir(parents=True)
    script, other = inner / "train.py", tmp_path / "main.py"
    files = {
        script: f"{imports}{DENSE}\nif __name__ == '__main__':\n    print(v)\n",
        other: "import runs.ppo.train\n",
        package / "sizes.py": "WIDTH = 3\n",
        package / "__init__.py": "",
        inner / "__init__.py": "",
    }
    for path, text in files.items():
        path.write_text(text)
    texts, _ = fix_files(files, RULES)
    assert ((inner / "nnx_compat.py") in texts) is runs_alone
    for path, text in texts.items():
        path.write_text(text.replace("import ppo.sizes\n", ""))
    commands = [([str(other)], tmp_path), (["-m", "runs.ppo.train"], tmp_path)]
    for arguments, folder in [*commands, *[(["train.py"], inner)] * runs_alone]:
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True)


@pytest.mark.parametrize(
    ("library", "imports", "folder"),
    [
        ("zoo", "import zoo\nfrom zoo.sizes import WIDTH\n", "zoo/examples"),
        ("jax", "import jax\nfrom jax import numpy\n", "jax/agents"),
    ],
)
def test_a_script_in_a_folder_called_as_the_package_that_it_imports(
    tmp_path: Path, library: str, imports: str, folder: str
) -> None:
    """A repository's own folder and what it holds are called alike; a folder may be called as a library."""
    scripts = tmp_path / folder
    scripts.mkdir(parents=True)
    script = scripts / "train.py"
    files = {
        script: f"{imports}{DENSE}\nif __name__ == '__main__':\n    print(v)\n",
        scripts / "__init__.py": "",
    }
    if library == "zoo":
        (tmp_path / "zoo" / "zoo").mkdir()
        files |= {tmp_path / "zoo/zoo/__init__.py": "", tmp_path / "zoo/zoo/sizes.py": "WIDTH = 3\n"}
    for path, text in files.items():
        path.write_text(text)
    texts, _ = fix_files(files, RULES)
    assert "nnx.Linear" in texts[script]
    for path, text in texts.items():
        path.write_text(text)
    site = tmp_path / "site"  # where packages are installed
    site.mkdir()
    (site / "zoo").symlink_to(tmp_path / "zoo/zoo")
    where = {**os.environ, "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "train.py"], cwd=scripts, check=True, env=where)


def test_files_of_a_package_that_import_each_other_by_bare_names(tmp_path: Path) -> None:
    inner = tmp_path / "reproductions" / "gpt"
    inner.mkdir(parents=True)
    model, generate = DENSE.split("\n\nv = ")
    files = {
        inner / "config.py": "KEY = 0\n",
        inner / "model.py": model,
        inner
        / "generate.py": f"import jax, jax.numpy as jnp\nfrom config import KEY\nfrom model import A\n\nv = {generate}",
        inner / "__init__.py": "",
        inner.parent / "__init__.py": "",
    }
    for path, text in files.items():
        path.write_text(text)
    texts, _ = fix_files(files, RULES)
    assert "from nnx_compat import Functional" in texts[inner / "generate.py"]
    for path, text in texts.items():
        path.write_text(text)
    subprocess.run([sys.executable, "generate.py"], cwd=inner, check=True)


def test_a_file_that_finds_a_package_s_modules_by_their_bare_names(tmp_path: Path) -> None:
    package = tmp_path / "nets"
    (package / "layers").mkdir(parents=True)
    files = {
        package / "layers" / "dense.py": f"import sizes\n{DENSE}",
        package / "train.py": "from layers.dense import v\n\nassert v\n",
        package / "sizes.py": "",
        package / "layers" / "__init__.py": "",
        package / "__init__.py": "",
        tmp_path / "export.py": "from nets import sizes\nimport nets.sizes\n",
    }
    for path, text in files.items():
        path.write_text(text)
    texts, _ = fix_files(files, RULES)
    assert package / "nnx_compat.py" in texts
    for path, text in texts.items():
        path.write_text(text)
    subprocess.run([sys.executable, "train.py"], cwd=package, check=True)


def test_a_file_of_a_package_that_tests_beside_it_import_by_its_bare_name(tmp_path: Path) -> None:
    nets = tmp_path / "nets"
    nets.mkdir()
    files = {
        nets / "rnn.py": GRU,
        nets / "rnn_test.py": "from rnn import v\n\nassert v\n",
        nets / "__init__.py": "",
        tmp_path / "main.py": "from nets.rnn import v\n\nassert v\n",
        tmp_path / "export.py": "from nets.rnn import v\n\nassert v\n",
    }
    for path, text in files.items():
        path.write_text(text)
    texts, _ = fix_files(files, RULES)
    assert "class A(nnx.Module)" in texts[nets / "rnn.py"]
    for path, text in texts.items():
        path.write_text(text)
    for script, folder in (("main.py", tmp_path), ("rnn_test.py", nets)):
        subprocess.run([sys.executable, script], cwd=folder, check=True)


def test_a_package_within_a_folder_that_is_not_marked_as_one(tmp_path: Path) -> None:
    model, main = (tmp_path / "pkg" / name for name in ("models/vit/model.py", "main.py"))
    model.parent.mkdir(parents=True)
    for folder in (model.parent, main.parent):
        (folder / "__init__.py").touch()
    files = {model: DENSE, main: "from .models.vit import model\n"}
    texts, _ = fix_files(files, RULES)
    assert "from pkg.models.vit.nnx_compat import Functional" in texts[model]
    assert model.with_name("nnx_compat.py") in texts


def test_what_an_earlier_run_has_imported_serves_the_next_one(tmp_path: Path) -> None:
    tried = (
        "try:\n    from .nnx_compat import Functional\n"
        "except ImportError:  # beside a script\n    from nnx_compat import Functional\n"
    )
    model, main = tmp_path / "nets" / "model.py", tmp_path / "main.py"
    texts, _ = fix_files({model: f"{tried}\n{DENSE}", main: "import os\n"}, RULES)
    assert "Functional(" in texts[model]
    assert texts[model].count("from .nnx_compat") == 1
    assert "\nfrom .nnx_compat" not in texts[model]
