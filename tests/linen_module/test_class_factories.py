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
        "torso = torso_of(4)\n    model = Model(torso)",
        "torso = torso_of(4)\n    make = lambda: Model(torso)\n    model = make()",
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
        "torso = torso_of(4)\n    torso = kwargs['torso']\n    make = lambda: Model(torso)\n    model = make()",
        "model = Model(kwargs['torso'])",
    ],
)
def test_what_is_not_one_partial_of_one_class_stays(statement: str) -> None:
    assert "class Model(nnx.Module)" not in fixed(statement)


DIFFERING = """\
class Wide(nn.Module):
    features: int
    scale: int = 2
    act: Callable = nn.relu
    init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x):
        return self.act(nn.Dense(self.scale * self.features, bias_init=self.init)(x))


class Head(nn.Module):
    base: Callable

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(self.base()(x))


def main(x):
    base = partial(Wide, features=4{first})
    head = Head(base=base)
    other = Head(base=partial(Wide{second}))
    return head.init(jax.random.key(0), x), other.init(jax.random.key(0), x)
"""


def differing(first: str, second: str) -> str:
    code = CODE.partition("class Torso")[0] + DIFFERING.replace("{first}", first).replace("{second}", second)
    texts, _ = fix_files({FILE: code}, resolve_rules(["linen-module"]))
    return " ".join(texts.get(FILE, "").split())


@pytest.mark.parametrize(
    ("first", "second", "size"),
    [
        ("", ", features=5, scale=3", 'base.keywords.get("scale", 2) * base.keywords["features"]'),
        ("", ", features=5, act=nn.gelu", '2 * base.keywords["features"]'),
        (", scale=5", ", features=5, scale=3", 'base.keywords["scale"] * base.keywords["features"]'),
    ],
)
def test_partials_of_one_class_may_bind_different_fields(first: str, second: str, size: str) -> None:
    text = differing(first, second)
    assert "self.wide = base(in_features=in_features, rngs=rngs)" in text
    assert f"nnx.Linear({size}, 2, rngs=rngs)" in text.replace("( ", "(").replace(" )", ")")
    assert "other = Functional( Head, base=partial(Wide" in text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "",
            ", features=5, init=nn.initializers.ones",
        ),  # what the other one has by default is a name of its file
        ("", ", features=5, act=nn.glu"),
    ],
)
def test_other_fields_that_only_some_bind(first: str, second: str) -> None:
    assert "class Head(nnx.Module)" not in differing(first, second)


PLAIN = CODE.replace("    layer: Callable = nn.Dense\n", "").replace("self.layer(", "nn.Dense(")


def plainly(statement: str) -> str:
    texts, _ = fix_files({FILE: PLAIN.replace("{statement}", statement)}, resolve_rules(["linen-module"]))
    return " ".join(texts.get(FILE, "").split())


@pytest.mark.parametrize(
    "statement",
    [
        "torso = partial(Torso, features=4) if big else partial(Other, width=4)\n    model = Model(torso)",
        "if big:\n        torso = partial(Torso, features=4)\n    else:\n        torso = partial(Other, width=4)\n"
        "    model = Model(torso)",
        "if big:\n        torso = partial(Torso, features=4)\n        model = Model(torso)\n    else:\n"
        "        torso = partial(Other, width=4)\n        model = Model(torso)",
        "model = Model(partial(Torso, features=4)) if big else Model(partial(Other, width=4))",
    ],
)
def test_partials_of_several_classes(statement: str) -> None:
    text = plainly(statement)
    assert "self.torso = torso(in_features=in_features, rngs=rngs)" in text
    size = 'torso.keywords["width"] if torso.func is Other else torso.keywords["features"]'
    assert f"nnx.Linear( {size}, 2, rngs=rngs" in text


@pytest.mark.parametrize(
    "statement",
    [
        "torso = partial(Torso, features=4) if big else Other\n    model = Model(torso)",
        "torso = partial(Torso, features=4) if big else partial(nn.Dense, 4)\n    model = Model(torso)",
        "torso = partial(Torso, features=4) if big else kwargs['torso']\n    model = Model(torso)",
        "torso = partial(Torso, features=4)\n    for _ in range(2):\n        model = Model(torso)\n"
        "        torso = kwargs['torso']",
        "torso = partial(Torso, features=4)\n    if big:\n        torso = kwargs['torso']\n    model = Model(torso)",
    ],
)
def test_what_may_be_something_else_stays(statement: str) -> None:
    assert "class Model(nnx.Module)" not in plainly(statement)
