"""Inputs that may be left out, with layers of their own: what programs give, and what they leave out."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
import flax.linen as nn
import functools
import jax
import jax.numpy as jnp
from flax.training.train_state import TrainState


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, context=None):
        x = nn.Dense(4)(x)
        if context is not None:
            x = x + nn.Dense(4)(context)
        return x


class Holder(nn.Module):
    net: nn.Module

    def __call__(self, x, context=None):
        return self.net(x, context)


x = jnp.ones((1, 3))
key = jax.random.key(0)
net = Net()
"""
PATH = Path("/project/main.py")
RULES = resolve_rules(["linen-module"])
STEP = "def step(apply_fn, params, x{more}):\n    return apply_fn(params, x{given})\n"
WITHOUT = STEP.format(more="", given="")
WITH = STEP.format(more=", context", given=", context")
LOADED = "params = load()\n"
LATE = 'context_features": None if context is None else context.shape[-1]'


def fixed(code: str) -> str:
    return fix_files({PATH: MODEL + code}, RULES)[0][PATH]


@pytest.mark.parametrize(
    "code",
    [
        "net.init(key, x)\n",
        f"{WITHOUT}params = net.init(key, x)\nstep(net.apply, params, x)\n",
        # in Linen, too, `apply` finds no parameters for it
        f"{WITH}params = net.init(key, x)\nstep(net.apply, params, x, None)\n",
        f"{WITHOUT}{LOADED}step(net.apply, params, x)\n",
        f"{WITHOUT}{LOADED}step(apply_fn=jax.jit(net.apply), params=params, x=x)\n",
        f"{LOADED}net.apply(params, x)\n",
    ],
)
def test_it_is_never_given(code: str) -> None:
    assert "class Net(nnx.Module)" in (after := fixed(code))
    assert "context_features" not in after.partition("key = ")[2]


@pytest.mark.parametrize(
    "code",
    [
        f"{WITH}context = read()\nparams = net.init(key, x, context)\nstep(net.apply, params, x, context)\n",
        f"{WITH}{LOADED}context = read()\nstep(net.apply, params, x, context)\n",
    ],
)
def test_it_is_always_given(code: str) -> None:
    assert LATE in fixed(code)


@pytest.mark.parametrize(
    "code",
    [
        f"{WITHOUT}context = read()\nparams = net.init(key, x, context)\nstep(net.apply, params, x)\n",
        f"{LOADED}import zoo\nzoo.run(net.apply, params)\n",
        f"{LOADED}run = functools.partial(net.apply, params)\nrun(x)\n",
        "jax.jit(net.init)(key, x, read())\n",
        "Holder(net).init(key, x, read())\nnet.init(key, x)\n",
        LOADED,
    ],
)
def test_it_is_not_clear(code: str) -> None:
    assert "class Net(nn.Module)" in fixed(code)
