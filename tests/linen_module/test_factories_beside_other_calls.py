"""An argument elsewhere that has the name of a factory field keeps a class only where it may construct one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.files import load_source

MODEL = """
from functools import partial
from typing import Any

import flax.linen as nn


class Block(nn.Module):
    features: int
    norm: Any = nn.LayerNorm

    @nn.compact
    def __call__(self, x):
        return x + self.norm()(nn.Dense(self.features)(x))


BLOCKS = {"small": partial(Block, features=8), "large": partial(Block, features=32)}
"""
HARMLESS = {
    "a function of a library": "import jax.numpy as jnp\n\nspectrum = jnp.fft.rfft(signal, norm='ortho')",
    "a method of the class around it": """
class Checks:
    def run(self, x):
        return self.distance(x, norm=2)

    def distance(self, x, norm):
        return abs(x) ** norm
""",
    "a function of the project": """
def distance(x, *, norm=2):
    return abs(x) ** norm


print(distance(3, norm=1))
""",
    "keys of random streams": "variables = model.init(key)\nmodel.apply(variables, x, rngs=dict(norm=key))",
}
HARMFUL = {
    "what a table holds": "from model import BLOCKS\n\nblock = BLOCKS['small'](norm=nn.GroupNorm)",
    "a function that hands on all it gets": """
from model import BLOCKS


def make(name, **options):
    return BLOCKS[name](**options)


block = make("small", norm=nn.GroupNorm)
""",
    "a dict of arguments": "from model import BLOCKS\n\noptions = dict(norm=nn.GroupNorm)\nBLOCKS['small'](**options)",
    "a method that another object has": """
class Checks:
    def run(self, x):
        return x.distance(norm=2)

    def distance(self, x, norm):
        return abs(x) ** norm
""",
    "a method that is replaced": """
class Checks:
    def __init__(self, blocks):
        self.distance = blocks["small"]

    def run(self, x):
        return self.distance(norm=2)

    def distance(self, norm):
        return norm
""",
    "a name that nothing explains": "block = make_block(norm=nn.GroupNorm)",
    "a partial of a function": "from functools import partial\n\nmake = partial(print, norm=nn.GroupNorm)",
    "a dict that isn't the builtin": "from tables import dict\n\nmodel.apply(x, rngs=dict(norm=nn.GroupNorm))",
}


def _converted(folder: Path, program: str) -> bool:
    (folder / "model.py").write_text(MODEL)
    (folder / "program.py").write_text(f"import flax.linen as nn\n{program}\n")
    project = Project([folder / "model.py", folder / "program.py"], load_source)
    return "model.Block" in convert_project(project).converted


@pytest.mark.parametrize("program", HARMLESS.values(), ids=HARMLESS)
def test_calls_that_make_no_module_are_no_obstacle(tmp_path: Path, program: str) -> None:
    assert _converted(tmp_path, program)


@pytest.mark.parametrize("program", HARMFUL.values(), ids=HARMFUL)
def test_calls_that_may_make_one_keep_the_class(tmp_path: Path, program: str) -> None:
    assert not _converted(tmp_path, program)
