"""Classes that stand in notebooks: taken out of them with what they need, and compared like any other."""

import json
from pathlib import Path

import pytest

from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.verification.cases import Cases
from nnx_migrate.verification.listing import side_by_side
from nnx_migrate.verification.notebooks import excerpt
from nnx_migrate.verification.running import Runner

CELLS = [
    "%matplotlib inline\n!pip install flax\nimport flax.linen as nn\nimport jax\nimport jax.numpy as jnp\nimport plots",
    "WIDTH = 4\ndata = plots.download('everything')",
    "def scaled(x, key=2):\n    return x * FACTOR",
    "FACTOR = 3\nstate = None",
    "class Net(nn.Module):\n    width: int\n\n    @nn.compact\n    def __call__(self, x):\n"
    "        state = nn.Dense(self.width)(x)\n        return scaled(state)",
    "key = jax.random.key(0)\nnet = Net(WIDTH)\nparams = net.init(key, jnp.ones((2, 3)))",
    "for step in range(10**9):\n    state = train(data)",
]


def write(path: Path, cells: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    found = [{**empty, "source": text.splitlines(keepends=True)} for text in cells]
    path.write_text(json.dumps({"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def test_an_excerpt_has_what_the_class_needs_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "a.ipynb", CELLS)
    text = excerpt(tmp_path / "a.ipynb", ["Net"])
    assert "class Net" in text
    assert "def scaled" in text
    assert "FACTOR = 3" in text
    for absent in ("plots", "download", "WIDTH = 4", "train(", "import jax.numpy", "key = "):
        assert absent not in text, absent
    assert excerpt(tmp_path / "a.ipynb", ["Net", "WIDTH"]).count("WIDTH = 4") == 1


@pytest.mark.parametrize(
    ("name", "beside", "shown"),
    [
        ("training", "train.py", "training"),
        ("01-training", "train.py", "01-training"),
        ("training", "training.py", "training_ipynb"),
    ],
)
def test_models_in_notebooks_are_compared(tmp_path: Path, name: str, beside: str, shown: str) -> None:
    old, new = (tmp_path / side / "notebooks" / f"{name}.ipynb" for side in ("old", "new"))
    write(old, CELLS)
    (old.parent / beside).write_text("class Net:\n    pass\n")
    write(new, [text.replace("FACTOR = 3", "FACTOR = 4") for text in CELLS])
    (other,) = Cases(tmp_path / "old", tmp_path / "new", {}, [])
    write(new, [*CELLS, "model = net"])
    (case,) = Cases(tmp_path / "old", tmp_path / "new", {}, [])
    assert case.model == f"{shown}:Net"
    runner = Runner(None, Protocol(modes=("jit",), steps=0, gradients=False))
    assert [runner.run(each).word for each in (case, other)] == ["equal", "different"]
    listing = side_by_side(case.model, tmp_path / "old", tmp_path / "new")
    assert listing is not None
    assert [row.before for row in listing.rows][:2] == ["class Net(nn.Module):", "    width: int"]


def test_a_notebook_that_went_missing_is_said(tmp_path: Path) -> None:
    write(tmp_path / "old" / "training.ipynb", CELLS)
    (case,) = Cases(tmp_path / "old", tmp_path / "new", {}, [])
    assert case.before is None
    assert case.missing.startswith("its notebook can't be read: ")
