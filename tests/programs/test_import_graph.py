"""Names of parameters in files that know the model, and in those that know others."""

from pathlib import Path

import pytest

from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.names.project import Project
from nnx_migrate.sources.text import SourceText
from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
START = """\
import flax.linen as nn
import jax
import jax.numpy as jnp

"""
ONE = """\
class One(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)

"""
TWO = """\
class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        return nn.Dense(int(x.sum()))(x)

"""
RUN = "params = One().init(jax.random.key(0), jnp.ones((1, 2)))\n"
READ = 'def bias(tree):\n    return tree["params"]["Dense_0"]["bias"]\n'


def fixed(**texts: str) -> dict[str, str]:
    files = {Path(f"/project/{name}.py"): text for name, text in texts.items()}
    return {path.stem: text for path, text in fix_files(files, RULES)[0].items()}


@pytest.mark.parametrize("reader", [f"import one\n{READ}", f"from one import One\n{READ}", READ])
def test_a_file_that_knows_one_model_alone(reader: str) -> None:
    """A script with a model of its own, in which `Dense_0` stays, has nothing to do with it."""
    after = fixed(
        one=START + ONE + RUN,
        two=START + TWO + READ,
        reader=reader,
        main="import one\nimport reader\nprint(reader.bias(one.params))\n",
    )
    assert '["params"]["dense"]["bias"]' in after["reader"]
    assert "self.dense = nnx.Linear(" in after["one"] and '["Dense_0"]' in after["two"]


@pytest.mark.parametrize(
    "main",
    [
        "import one, two\nimport reader\nprint(reader.bias(one.params), reader.bias(two.Two()))\n",
        "import importlib, sys\nimport reader, one\nprint(reader.bias(importlib.import_module(sys.argv[1]).params))\n",
    ],
)
def test_a_file_that_knows_both(main: str) -> None:
    after = fixed(one=START + ONE + RUN, two=START + TWO, reader=READ, main=main)
    assert "self.Dense_0 = nnx.Linear(" in after["one"] or "class One(nn.Module)" in after["one"]
    assert '["Dense_0"]' in after["reader"]


def test_a_file_that_knows_none() -> None:
    """It may have read the parameters from a file: those of any model."""
    after = fixed(one=START + ONE + RUN, reader=READ)
    assert '["params"]["dense"]["bias"]' in after["reader"]
    after = fixed(one=START + ONE + RUN, two=START + TWO, reader=READ)
    assert '["Dense_0"]' in after["reader"] and "self.dense " not in after["one"]


def test_positions_in_a_file_that_knows_others_alone() -> None:
    ordered = ONE.replace("nn.Dense(3)(x)", 'nn.Dense(3)(nn.Dense(3, name="a_first")(x))')
    picked = "print(jax.tree.leaves(variables)[0])\n"
    after = fixed(one=START + ordered + RUN, two=START + TWO + picked)
    assert "self.dense = nnx.Linear(" in after["one"]
    after = fixed(one=START + ordered + RUN, two="import one\n" + START + TWO + picked)
    assert "self.dense = nnx.Linear(" not in after["one"]


def test_imports_in_every_form() -> None:
    texts = {
        "pkg/__init__.py": "from .a import A\n",
        "pkg/a.py": "A = 1\n",
        "pkg/b.py": "from . import a\nfrom .sub import c\n",
        "pkg/sub/__init__.py": "",
        "pkg/sub/c.py": "def f():\n    import pkg.d\n",
        "pkg/d.py": "",
        "alone.py": "import numpy\n",
        "main.py": "import pkg.b as b\n",
    }
    folder = Path("/p")
    files = {folder / name: text.encode() for name, text in texts.items()}
    project = Project(list(files), lambda path: SourceText.decode(files[path]))
    graph = ImportGraph(project)
    known = {
        module.path.relative_to(folder).as_posix(): {
            path.relative_to(folder).as_posix() for path in graph.known_to(module)
        }
        for module in project.modules()
    }
    assert known["alone.py"] == {"alone.py"}
    assert known["main.py"] == set(texts) - {"alone.py"}
    assert known["pkg/d.py"] == known["main.py"]


HOLDS = "import lib\ntrainer = lib.Trainer(One())\ntrainer.model.init(jax.random.key(0), jnp.ones((1, 2)))\n"
ELSEWHERE = "import unknown\n\ndef build(config):\n    return unknown.build(config.model)\n"


@pytest.mark.parametrize(
    ("more", "moves"),
    [
        ({}, True),
        ({"main": "import one, other\nother.build(one.trainer)\n"}, False),
        ({"lib": "import other\n"}, False),
        ({"main": "import hydra\n"}, False),
        ({"main": "import importlib, sys\nimport one\nimportlib.import_module(sys.argv[1])\n"}, False),
    ],
)
def test_a_field_is_read_where_a_program_runs_both_files(more: dict[str, str], moves: bool) -> None:
    """`config.model` of a script that no program runs beside it isn't the field of the trainer."""
    lib = "class Trainer:\n    def __init__(self, model):\n        self.model = model\n"
    texts = {"one": START + ONE + HOLDS, "other": ELSEWHERE, **more, "lib": more.get("lib", "") + lib}
    assert ("class One(nnx.Module)" in fixed(**texts)["one"]) == moves
