"""Programs that compare names of modules in lists: these names stay as Linen has them, or the classes do."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
MODELS = """\
import flax.linen as nn


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + nn.Dense(x.shape[-1])(x)


class Net(nn.Module):
    depth: int = 2

    @nn.compact
    def __call__(self, x):
        for i in range(self.depth):
            x = Block({name})(x)
        {then}return nn.Dense(2, name="head")(x)
"""
PROGRAM = """\
import jax
import jax.numpy as jnp
from models import Net

model = Net()
params = model.init(jax.random.key(0), jnp.ones((1, 3)))["params"]
blocks = [name for name in params if name.startswith("{start}")]
print(model.apply({{"params": params}}, jnp.ones((1, 3))), blocks)
"""


def fixed(name: str, start: str, then: str = "") -> tuple[str, str, list[str]]:
    """Models and program as they are afterwards, and the messages about what is not converted."""
    models, program = Path("/project/models.py"), Path("/project/main.py")
    files = {models: MODELS.format(name=name, then=then), program: PROGRAM.format(start=start)}
    texts, result = fix_files(files, RULES)
    return texts[models], texts[program], [finding.message for finding in result.remaining.findings]


@pytest.mark.parametrize(
    ("name", "start", "attribute"),
    [('name=f"block_{i}"', "block_", "block"), ("", "Block_", "Block"), ("", "head", "blocks")],
)
def test_lists_are_called_as_linen_begins_their_names(name: str, start: str, attribute: str) -> None:
    models, program, left = fixed(name, start)
    assert f"self.{attribute} = nnx.List(" in models and f"for block in self.{attribute}:" in models
    assert left == []
    helper = "Functional" if attribute == "blocks" else "ListingFunctional"
    assert f"model = {helper}(Net, in_features=3)" in program


@pytest.mark.parametrize(
    ("name", "start", "then"),
    [
        ('name=f"block_{i + 1}"', "block_", ""),
        ('name=f"block{i}"', "block", ""),
        ('name=f"block_{i:02d}"', "block_", ""),
        ("", "Block_", "x = Block()(x)\n        "),  # one more, whose number the list's length decides
    ],
)
def test_names_that_lists_cannot_have_keep_the_classes(name: str, start: str, then: str) -> None:
    models, program, left = fixed(name, start, then)
    assert "nnx" not in models + program
    assert any("names are compared" in message or "a name is made" in message for message in left)


NUMBERED = """\
import flax.linen as nn


class Block(nn.Module):
    def setup(self):
        self.proj = nn.Dense(3)

    def __call__(self, x):
        return x + self.proj(x)


class Net(nn.Module):
    depth: int = 2

    def setup(self):
        self.blocks = [Block(name=str(i)) for i in range(self.depth)]

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""


def test_modules_that_are_called_by_numbers_alone() -> None:
    models, program = Path("/project/models.py"), Path("/project/main.py")
    code = PROGRAM.format(start="x") + 'print(params["0"]["proj"], {"0": 1}["0"])\n'
    texts, _ = fix_files({models: NUMBERED, program: code}, RULES)
    assert "self.blocks = nnx.List(" in texts[models]
    assert 'print(params["blocks"]["0"]["proj"], {"0": 1}["0"])' in texts[program]
