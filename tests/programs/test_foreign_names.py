"""Programs that translate names of other libraries' parameters: models keep Linen's names, or stay."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
BLOCK = """\
import flax.linen as nn


class Net(nn.Module):
    depth: int
    width: int

    @nn.compact
    def __call__(self, x):
        for i in range(self.depth):
            x = nn.Dense(self.width, name=str(i))(x)
        return x
"""
NAMED = """\
import flax.linen as nn


class Net(nn.Module):
    depth: int
    width: int

    def setup(self):
        self.first = nn.Dense(self.width)
        self.last = nn.Dense(self.depth)

    def __call__(self, x):
        return self.last(self.first(x))
"""
PROGRAM = """\
import re

import jax
import jax.numpy as jnp
from flax import traverse_util
from model import Net


def load(weights):
    weights = {key.replace("h.", ""): value for key, value in weights.items()}
    weights = {%s: value for key, value in weights.items()}
    return traverse_util.unflatten_dict(weights, sep=".")


model = Net(2, 3)
print(model.apply({"params": load({})}, jnp.ones((1, 3))))
"""
TRANSLATIONS = [
    'key.replace(".weight", ".kernel")',
    'key.replace("weight", "kernel")',
    're.sub(r"\\.weight$", ".kernel", key)',
    'key.replace("kernel", "weight")',
    'key.replace("wte.weight", "wte.embedding")  # a kernel\n    ',
]


def fixed(model: str, translation: str) -> tuple[str, list[str]]:
    """The model as it is afterwards, and the messages about what is not converted."""
    files = {Path("/project/model.py"): model, Path("/project/main.py"): PROGRAM % translation}
    texts, result = fix_files(files, RULES)
    return texts[Path("/project/model.py")], [finding.message for finding in result.remaining.findings]


@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_a_model_whose_names_change_stays(translation: str) -> None:
    """Nothing shows which names the other library has, so the translation can't be corrected."""
    model, messages = fixed(BLOCK, translation)
    assert model == BLOCK
    assert any("another library's parameters" in message for message in messages)


@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_a_model_that_keeps_its_names_is_converted(translation: str) -> None:
    """Layers of `setup` have the names of their attributes in both libraries."""
    model, _ = fixed(NAMED, translation)
    assert "nnx.Linear" in model


@pytest.mark.parametrize("other", ['key.replace("x", "my kernel")', 'key.replace("a", "scale")', "key[1:]"])
def test_other_texts_hold_nothing(other: str) -> None:
    """What isn't the name of a parameter is no translation of one."""
    model, _ = fixed(BLOCK, other)
    assert "nnx.Linear" in model
