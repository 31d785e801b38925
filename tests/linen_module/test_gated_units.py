"""A field that is called like an activation keeps shapes, unless the project may hand it `glu` or `crelu`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

MODEL = """
import flax.linen as nn
import jax
from typing import Any, Callable


class Model(nn.Module):
    act: Callable

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(self.act(nn.Dense(8)(x)))


"""
HANDED_ON = {
    "as an argument": "model = Model(nn.glu)",
    "by its full name": "model = Model(jax.nn.glu)",
    "by keyword": "model = Model(act=jax.nn.glu)",
    "in a table": "ACTS = {'gated': nn.glu}",
    "by name": "model = Model(getattr(nn, 'glu'))",
    "imported": "from jax.nn import glu\nmodel = Model(glu)",
    "a function of the project": "def glu(x):\n    return x[..., :4]\nmodel = Model(glu)",
}
SOMETHING_ELSE = {
    "called": "def gate(x):\n    return nn.glu(x)",
    "a flag of a configuration": "def width(config):\n    return 8 if config.glu else 4",
    "a parameter": "def width(glu=False):\n    return 8 if glu else 4",
    "a comment": "# glu halves the size",
    "a name that the file exports": "from jax.nn import glu\n__all__ = ['Model', 'glu']",
}


def _converts(tmp_path: Path, code: str) -> bool:
    path = tmp_path / "model.py"
    path.write_text(MODEL + dedent(code))
    return "model.Model" in convert(path)[1].converted


@pytest.mark.parametrize("name", HANDED_ON)
def test_gated_units_that_are_handed_on(name: str, tmp_path: Path) -> None:
    assert not _converts(tmp_path, HANDED_ON[name])


@pytest.mark.parametrize("name", SOMETHING_ELSE)
def test_other_things_of_that_name(name: str, tmp_path: Path) -> None:
    assert _converts(tmp_path, SOMETHING_ELSE[name])


TWO_MODELS = """
import flax.linen as nn
import jax
from functools import partial
from typing import Any, Callable


class Model(nn.Module):
    act: Callable = nn.gelu

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(self.act(nn.Dense(8)(x)))


class Gated(nn.Module):
    act: Callable = nn.glu

    @nn.compact
    def __call__(self, x):
        return self.act(nn.Dense(8)(x))


class Outer(nn.Module):
    act: Callable = nn.gelu

    @nn.compact
    def __call__(self, x):
        INNER


"""
GETS_IT = {
    "no": ("return Model(act=self.act)(x)", "model = Outer()", {"Model", "Outer"}),
    "another class": ("return Model()(x)", "model = Gated(act=nn.glu)", {"Model", "Outer"}),
    "the class itself": ("return nn.Dense(2)(Model()(x))", "model = Model(nn.glu)", set()),
    "handed on": ("return Model(act=self.act)(x)", "model = Outer(act=nn.glu)", set()),
    "by a partial": ("return Model()(x)", "make = partial(Outer, act=nn.glu)", {"Model", "Outer"}),
    "by a variable": (
        "act = nn.glu if x.shape[-1] > 4 else self.act\n        return Model(act=act)(x)",
        "",
        set(),
    ),
    "a default that no call replaces": ("return nn.Dense(3)(Gated()(x))", "", {"Model", "Outer"}),
    "by a table": ("return Model()(x)", "ACTS = {'gated': nn.glu}", set()),
    "by a configuration": (
        "act = jax.nn.gelu\n        if self.config.act == 'glu':\n            act = jax.nn.glu\n"
        "        return nn.Dense(2)(act(x))",
        "",
        {"Model"},
    ),
    "by another class's configuration": (
        "return nn.Dense(2)(self.act(x)) if self.config.kind == 'glu' else x",
        "",
        {"Model", "Outer"},
    ),
}


@pytest.mark.parametrize("name", GETS_IT)
def test_only_what_gated_units_reach_is_left(name: str, tmp_path: Path) -> None:
    inner, code, expected = GETS_IT[name]
    path = tmp_path / "model.py"
    path.write_text(TWO_MODELS.replace("INNER", inner) + code + "\n")
    converted = {qualified.rpartition(".")[2] for qualified in convert(path, bridge=False)[1].converted}
    assert converted & {"Model", "Outer"} == expected


def test_a_field_of_another_name_hands_them_on(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    wide = """
class Wide(nn.Module):
    activation: Callable = nn.gelu

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(Gated(act=self.activation)(x))


"""
    path.write_text(TWO_MODELS.replace("INNER", "return x") + wide + "model = Wide(activation=nn.glu)\n")
    assert "model.Wide" in convert(path)[1].refused


FIELDS = {
    "phi: Callable": False,
    "phi: Callable = jnp.sin": True,
    "phi: Callable = jax.nn.logsumexp": False,
    "phi: Any = None": False,
    "hidden_act: Any = None": True,
    "act_fn: Callable": True,
    "finalActivation: Callable": True,
    "interaction: Callable": False,
    "factory: Callable": False,
    "actor: Callable": False,
}


@pytest.mark.parametrize("field", FIELDS)
def test_what_counts_as_an_activation(field: str, tmp_path: Path) -> None:
    name = field.partition(":")[0]
    path = tmp_path / "model.py"
    code = MODEL.replace("act: Callable", field).replace("self.act(", f"self.{name}(")
    path.write_text(f"import jax.numpy as jnp\n{code}Model(**options)\n")
    assert ("model.Model" in convert(path)[1].converted) is FIELDS[field]
