"""Classes that programs hand to modules: where such a module stays Linen, so does what it will construct."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
NETS, TRAIN = Path("/project/nets.py"), Path("/project/train.py")
NETWORKS = """\
from typing import Callable

import flax.linen as nn


class Encoder(nn.Module):
    features: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)


class Critic(nn.Module):
    encoder: Callable

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(self.encoder(name=f"encoder_{len(self.scope.path)}")(x))


class Ensemble(nn.Module):
    member: Callable

    @nn.compact
    def __call__(self, x):
        return self.member(name=f"member_{len(self.scope.path)}")(x)
"""
PROGRAM = """\
from functools import partial

import jax
import jax.numpy as jnp

from nets import Critic, Encoder, Ensemble


def train(kind, x):
{body}
    return model.init(jax.random.key(0), x)
"""
HANDED = {
    "a branch": """\
    if kind == "small":
        encoder = partial(Encoder, features=4)
    else:
        raise ValueError(kind)
    model = Critic(encoder=encoder)
""",
    "bound to another class": """\
    encoder = partial(Encoder, features=4)
    model = Ensemble(member=partial(Critic, encoder=encoder))
""",
    "a class that is looked up": """\
    outer = {"critic": Critic}[kind]
    model = outer(encoder=Encoder)
""",
    "a function that makes it": """\
    def make(name):
        return Encoder(4, name=name)

    model = Critic(encoder=make)
""",
    "a lambda": """\
    model = Critic(encoder=lambda name: Encoder(4, name=name))
""",
}


@pytest.mark.parametrize("body", HANDED.values(), ids=HANDED)
def test_what_a_linen_module_will_construct_stays_linen(body: str) -> None:
    program = PROGRAM.format(body=body.rstrip("\n"))
    texts, _ = fix_files({NETS: NETWORKS, TRAIN: program}, RULES)
    assert texts.get(TRAIN, program) == program
    assert texts.get(NETS, NETWORKS) == NETWORKS


def test_the_same_class_moves_where_programs_use_it_themselves() -> None:
    body = "    model = Encoder(features=4)"
    texts, _ = fix_files({NETS: NETWORKS, TRAIN: PROGRAM.format(body=body)}, RULES)
    assert "class Encoder(nnx.Module)" in texts[NETS]
    assert "class Critic(nn.Module)" in texts[NETS]
