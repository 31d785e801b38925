"""Notebooks that run other files in their own namespace."""

import json
from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.sources.files import load_source

MODELS = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)
"""
TRAIN = """\
import jax, jax.numpy as jnp
net = Net()
params = net.init(jax.random.key(0), jnp.ones((1, 4)))
"""


def notebook(*cells: str) -> str:
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def reason(folder: Path, **texts: str) -> str:
    """Why `Net` stays; empty where it moves."""
    for name, text in texts.items():
        (folder / name.replace("_ipynb", ".ipynb").replace("_py", ".py")).write_text(text)
    (group,) = make_plan(Project(sorted(folder.iterdir()), load_source))
    assert group.can_move == (not group.obstacles)
    return next((f"{o.reason}: {o.detail}, line {o.node.lineno}" for _, o in group.obstacles), "")


@pytest.mark.parametrize(
    ("magic", "stays"),
    [
        ("%run models.py", True),
        ("%run -i models", True),
        ("%run 'models.py' --steps 3", True),
        ("%run $path", True),
        ("%run other.py", False),
        ("%matplotlib inline", False),
        ("# %run the cells in order", False),
    ],
)
def test_what_a_notebook_runs_stays(tmp_path: Path, magic: str, stays: bool) -> None:
    found = reason(
        tmp_path, models_py=MODELS, other_py="print(1)\n", train_ipynb=notebook("import os\n" + magic, TRAIN)
    )
    assert found == (f"hidden-use: `{magic}` may bring it, line 2" if stays else "")


def test_names_that_a_file_imports_are_brought_too(tmp_path: Path) -> None:
    train = notebook("%run begin", TRAIN.replace("Net()", "Model()"))
    found = reason(
        tmp_path, models_py=MODELS, begin_py="from models import Net as Model\n", train_ipynb=train
    )
    assert found == "hidden-use: `%run begin` may bring it, line 1"
