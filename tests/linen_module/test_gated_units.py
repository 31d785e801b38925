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
