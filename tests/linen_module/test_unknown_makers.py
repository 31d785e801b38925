"""What code that isn't known has made may be a module: a class that calls it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import tensorflow_probability.substrates.jax as tfp

import zoo
from zoo.blocks import TABLE, Encoder, find


class Model(nn.Module):
    kind: str
    size: int
    config: Any

"""
IN_SETUP = HEADER + "    def setup(self):\n        {}\n\n    def __call__(self, x):\n        return {}\n"
IN_CALL = HEADER + "    @nn.compact\n    def __call__(self, x):\n        {}\n        return {}\n"

# What makes `self.encoder`, which in the compact form is a local variable.
MADE = {
    "an element of a table": "self.encoder = TABLE[self.kind](self.size)",
    "an element of a table by a constant": "self.encoder = TABLE['small'](self.size)",
    "a table of tables": "self.encoder = TABLE[0]['small'](self.size)[1]",
    "a table in a configuration": "self.encoder = self.config.table[self.kind](self.size)",
    "a method of a configuration": "self.encoder = self.config.make(self.size)",
    "a class": "self.encoder = Encoder(self.size)",
    "a class of a module": "self.encoder = zoo.blocks.Encoder(self.size)",
    "a method of a class": "self.encoder = TABLE[0].create(self.size)",
    "a function": "self.encoder = find(self.kind)",
    "one of two": "self.encoder = (TABLE[0] or Encoder)(self.size)",
    "a list": "self.encoder = [TABLE[k](self.size) for k in range(3)][0]",
    "a dictionary": "self.encoder = {'a': TABLE[0](self.size)}['a']",
    "a tuple": "self.encoder, self.other = TABLE[0](self.size), 3",
    "a partial": "make = partial(TABLE[self.kind], 3)\n        self.encoder = make(self.size)",
    "a lambda": "self.encoder = (lambda size: TABLE[0](size))(self.size)",
    "a variable": "make = TABLE[self.kind]\n        self.encoder = make(self.size)",
    "an assignment within": "self.encoder = (make := TABLE[0])(self.size)",
}
USES = {"called": "self.encoder(x)", "by a method": "self.encoder.encode(x)"}


def _reasons(tmp_path: Path, code: str) -> list[str]:
    path = tmp_path / "model.py"
    path.write_text(code)
    _, conversions = convert(path)
    return [refusal.reason for refusal in conversions.refused.values()]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("form", [IN_SETUP, IN_CALL], ids=["setup", "compact"])
def test_it_may_be_a_module(tmp_path: Path, form: str, made: str, use: str) -> None:
    code = form.format(MADE[made], USES[use])
    if form is IN_CALL:
        code = code.replace("self.encoder", "encoder").replace("self.other", "other")
    assert _reasons(tmp_path, code) == ["unknown-module"]


@pytest.mark.parametrize(
    "use",
    [
        "jax.vmap(encoder)(x)",
        "jax.checkpoint(encoder)(x)",
        "jax.grad(lambda x: encoder(x).sum())(x)",
        "jax.lax.cond(x.sum() > 0, encoder, lambda x: x, x)",
        "jax.tree.map(lambda e: e(x), [encoder])[0]",
        "partial(encoder, 3)(x)",
        "zoo.run(encoder, x)",
        "zoo.run(x, model=encoder)",
        "nn.Sequential([nn.relu, encoder])(x)",
    ],
)
@pytest.mark.parametrize("made", ["TABLE[self.kind](self.size)", "Encoder(self.size)"])
def test_nor_may_other_functions_get_it(tmp_path: Path, made: str, use: str) -> None:
    header = HEADER.replace("import jax.numpy", "import jax\nimport jax.numpy")
    code = IN_CALL.replace(HEADER, header).format(f"encoder = {made}", use)
    assert _reasons(tmp_path, code) == ["unknown-module"]
    code = IN_SETUP.replace(HEADER, header).format(
        f"self.encoder = {made}", use.replace("encoder", "self.encoder")
    )
    assert _reasons(tmp_path, code) == ["unknown-module"]


@pytest.mark.parametrize(
    ("made", "use"),
    [
        ("table = find(self.size)", "jnp.take(table, 3, axis=0) + nn.Dense(3)(x)"),
        ("table = TABLE[self.kind](self.size)", "table[0] * nn.Dense(3)(x)"),
        (
            "table = self.param('table', nn.initializers.normal(), (9, 4))\n        rows = table[(x,)]",
            "zoo.run(rows)",
        ),
        ("size = self.config.get('size')", "nn.Dense(size)(x)"),
        ("act = TABLE[self.config.activation]", "act(nn.Dense(3)(x))"),
        ("act = TABLE[self.config.get('activation', 'relu')]", "act(nn.Dense(3)(x))"),
        ("act = partial(zoo.activate, slope=0.1)", "act(nn.Dense(3)(x))"),
        ("mean = nn.Dense(3)(x)\n        dist = Encoder(mean, jnp.exp(mean))", "dist.log_prob(x)"),
        ("dist = tfp.distributions.Normal(0.0, 1.0)", "dist.log_prob(nn.Dense(3)(x))"),
        ("name = self.config.get('name').lower()", "nn.Dense(3)(x) * len(name)"),
    ],
)
def test_functions_distributions_arrays_and_texts_are_no_modules(tmp_path: Path, made: str, use: str) -> None:
    assert _reasons(tmp_path, IN_CALL.format(made, use)) == []
