"""Modules that programs hand to another one in a dictionary."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules, scanner_for

MODEL = """\
import copy
from typing import Any, Dict, Optional

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class All(nn.Module):
    modules: Dict[str, nn.Module]

    @nn.compact
    def __call__(self, *args, name=None, **kwargs):
        if name is None:
            if kwargs.keys() != self.modules.keys():
                raise ValueError(name)
            outputs = {}
            for key, inputs in kwargs.items():
                outputs[key] = self.modules[key](*inputs)
            return outputs
        return self.modules[name](*args, **kwargs)


class Some(nn.Module):
    modules: Dict[str, nn.Module]

    def __call__(self, x):
        if "left" in self.modules:
            x = self.modules["left"](x)
        return x

    def right(self, x):
        return self.modules["right"](x)


class Part(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Outer(nn.Module):
    part: Optional[nn.Module] = None

    @nn.compact
    def __call__(self, x, skip=False):
        if not skip and self.part is not None:
            x = self.part(x)
        return x * self.param("scale", nn.initializers.ones, ())


class Deep(nn.Module):
    deep: bool = True

    @nn.compact
    def __call__(self, x, skip=False):
        if self.deep and not skip:
            x = x + nn.Dense(3)(x)
        return x * self.param("scale", nn.initializers.ones, ())


class Either(nn.Module):
    @nn.compact
    def __call__(self, x, y=None):
        h = nn.Dense(3)(x)
        if y is not None:
            h = h + nn.Dense(3)(y)
        return h


class Pair(nn.Module):
    first: nn.Module
    second: nn.Module

    def __call__(self, x):
        return self.first(x) + self.second(x)


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")


RULES = ["linen-module"]


def fixed(code: str) -> tuple[str, str]:
    """What `fix` makes of the program, and the messages of all findings."""
    files = {PATH: MODEL + code}
    scan = scanner_for(files, resolve_rules(RULES)).whole_project(plan=True)
    assert not scan.errors
    return fix_files(files, resolve_rules(RULES))[0][PATH], " ".join(f.message for f in scan.findings)


@pytest.mark.parametrize(
    ("code", "helper"),
    [
        ('net = All({"a": Part(), "b": Part(2)})\nnet.init(key, a=(x,), b=(x,))\n', "Functional(All"),
        ("parts = dict(a=Part())\nparts.update(b=Part(2))\nnet = All(parts)\nnet.init(key, a=(x,), b=(x,))\n", "Functional(All"),
        ('part = Part()\nnet = All({"a": part, "b": copy.deepcopy(part)})\nnet.init(key, a=(x,), b=(x,))\n', "= Functional(All"),
        ('part = Part()\nnet = All({"a": Outer(part), "b": part})\nnet.init(key, a=(x,), b=(x,))\n', "SharingFunctional(All"),
        ("part = Part()\ndef same(module):\n    return module\n"
         'net = All({"a": same(part), "b": part})\nnet.init(key, a=(x,), b=(x,))\n', "SharingFunctional(All"),
        ('net = All({"a": Part(), "b": Deep()})\nnet.init(key, a=(x,), b=(x,))\n', "Functional(Deep"),
        ('net = All({"a": Part(), "b": Either()})\nnet.init(key, a=(x,), b=(x, x))\n', "Functional(Either"),
        ('net = Some({"left": Part()})\nparams = net.init(key, x)\nnet.apply(params, x)\n', "Functional(Some"),
    ],
)  # fmt: skip
def test_they_move(code: str, helper: str) -> None:
    after, _ = fixed(code)
    assert "class Part(nnx.Module)" in after and helper in after


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        # what else may be in the dictionary
        ('parts = {"a": Part()}\nextend(parts)\nnet = All(parts)\nnet.init(key, a=(x,))\n', "isn't known"),
        ('net = All({"a": Part(), "b": nn.Dense(3)})\nnet.init(key, a=(x,), b=(x,))\n', "isn't known"),
        ('net = All({"a": Part(name="one")})\nnet.init(key, a=(x,))\n', "has a name of its own"),
        # modules that an initialisation may not call
        ('net = Some({"left": Part(), "right": Part()})\nparams = net.init(key, x)\n', "may not use"),
        ('net = All({"a": Part(), "b": Part()})\nparams = net.init(key, x, name=read())\n', "may not use"),
        ('net = All({"a": Outer(Part())})\nnet.init(key, a=(x, True))\n', "may not use"),
        ('net = All({"a": Outer(Part())})\nnet.init(key, **read())\n', "may not use"),
        ('net = All({"a": Part()})\nnet.modules["a"].init(key, x)\n', "may not use"),
        # what the modules get
        (
            'net = All({"a": Part(), "b": Deep()})\nnet.init(key, a=(x,), b=(x, True))\n',
            "`skip` is known only when",
        ),
        (
            "def start(net, inputs):\n    return net.init(key, **inputs)\n"
            'start(All({"a": Part(), "b": Deep()}), {"a": (x,), "b": (x, True)})\n',
            "`skip` is known only when",
        ),
        (
            'net = All({"a": Part(), "b": Either()})\nnet.init(key, a=(x,), b=(x, x))\nnet.init(key, a=(x,), b=(x,))\n',
            "whether `Either` gets `y` isn't clear",
        ),
        # others than those it is made with
        (
            'net = All({"a": Part()}).clone(modules={"a": nn.Dense(3)})\nnet.init(key, a=(x,))\n',
            "a clone gets another",
        ),
        (
            'net = All({"a": Part()})\nparams = net.init(key, a=(x,))\nnet.bind(params).modules["a"].variables\n',
            "of a bound module",
        ),
        # one module in two places of another one
        ('part = Part()\nnet = All({"a": Pair(part, part)})\nnet.init(key, a=(x,))\n', "more than once"),
    ],
)
def test_they_stay(code: str, reason: str) -> None:
    after, findings = fixed(code)
    assert "class Part(nn.Module)" in after and reason in findings


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("modules: Dict[str, nn.Module]\n\n    @nn", "modules: Optional[Dict[str, nn.Module]]\n\n    @nn"),
        ("self.modules[name](*args, **kwargs)", "self.modules[name].variables"),
        ("self.modules[name](*args, **kwargs)", "run(self.modules)"),
        ("return outputs", "self.modules_a = 3\n            return outputs"),
    ],
)
def test_dictionaries_that_are_used_otherwise(old: str, new: str) -> None:
    files = {PATH: MODEL.replace(old, new, 1)}
    after, _ = fix_files(files, resolve_rules(RULES))
    assert "class All(nn.Module)" in after[PATH]
