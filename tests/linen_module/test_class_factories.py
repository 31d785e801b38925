"""Fields that get classes of the project as partials."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

FILE = Path("/project/model.py")
CODE = """\
from functools import partial
from typing import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp


class Torso(nn.Module):
    features: int
    layer: Callable = nn.Dense

    @nn.compact
    def __call__(self, x):
        return nn.relu(self.layer(self.features)(x))


class Other(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Model(nn.Module):
    torso: Callable

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(self.torso()(x))


def torso_of(features):
    return partial(Torso, features=features)


def either(features):
    if features > 2:
        return partial(Torso, features=features)
    return partial(Other, width=features)


def main(big, x, **kwargs):
    {statement}
    return model.init(jax.random.key(0), x)
"""


def fixed(statement: str) -> str:
    texts, _ = fix_files({FILE: CODE.replace("{statement}", statement)}, resolve_rules(["linen-module"]))
    return texts.get(FILE, "")


@pytest.mark.parametrize(
    "statement",
    [
        "model = Model(partial(Torso, features=4))",
        "model = Model(torso=torso_of(4))",
        "torso = partial(Torso, features=4)\n    model = Model(torso)",
        "if big:\n        torso = partial(Torso, features=40)\n    model = Model(torso=torso)",
    ],
)
def test_the_constructor_calls_what_it_gets(statement: str) -> None:
    text = fixed(statement)
    assert "self.torso = torso(in_features=in_features, rngs=rngs)" in text
    assert 'nnx.Linear(torso.keywords["features"], 2, rngs=rngs)' in text
    for line in statement.splitlines():
        if "partial(" in line and "Model(" not in line:
            assert line in text


@pytest.mark.parametrize(
    "statement",
    [
        "model = Model(either(4))",
        "torso = partial(Torso, features=4) if big else partial(Other, width=4)\n    model = Model(torso)",
        "torso = partial(Torso, features=4)\n    torso = partial(torso, features=5)\n    model = Model(torso)",
        "model = Model(partial(Torso, 4))",
        "model = Model(partial(Torso, **kwargs))",
        "model = Model(partial(Torso, features=4, layer=nn.Dense))",
        "model = Model(partial(Torso, features=4, name='torso'))",
        "model = Model(partial(Torso, features=4)) if big else Model(partial(Other, width=4))",
        "model = Model(lambda: Torso(4))",
        "model = Model(kwargs['torso'])",
    ],
)
def test_what_is_not_one_partial_of_one_class_stays(statement: str) -> None:
    assert "class Model(nnx.Module)" not in fixed(statement)
