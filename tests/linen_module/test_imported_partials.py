"""Partials of layers that a file imports from another one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

# The comments move what stands below, so that code of one file never fits where the other file has it.
LAYERS = """\
# Layers that all models use.

import functools

import flax.linen as nn
import jax.numpy as jn
from jax import numpy as jnp

EPSILON = 1e-5


class Block(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(self.width)(x))


def norm(epsilon):
    return functools.partial(nn.LayerNorm, epsilon=epsilon)


{definition}
"""
MODEL = """\
import flax.linen as nn
import jax.numpy as jnp

import layers
from layers import Layer


class Model(nn.Module):
    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x):
        return {call}(x)
"""


def _fixed(definition: str, call: str) -> tuple[str, list[str]]:
    """The model's file as `fix` leaves it, and what is left to say about it."""
    layers, model = Path("/project/layers.py"), Path("/project/model.py")
    files = {layers: LAYERS.format(definition=definition), model: MODEL.format(call=call)}
    texts, result = fix_files(files, resolve_rules(["linen-module"]))
    return texts[model], [f.message for f in result.remaining.findings if f.path == model]


def _unwrapped(text: str) -> str:
    """Calls that the tool wrote over several lines as one."""
    return re.sub(
        r"\(\n\s+(.*?),?\n\s*\)\n", lambda m: f"({' '.join(m[1].split())})\n", text, flags=re.DOTALL
    )


@pytest.mark.parametrize("call", ["Layer()", "layers.Layer()"])
@pytest.mark.parametrize(
    ("definition", "written"),
    [
        ("nn.LayerNorm, epsilon=1e-5", "nnx.LayerNorm(in_features, epsilon=1e-5, rngs=rngs)"),
        ("nn.Dense, 7", "nnx.Linear(in_features, 7, rngs=rngs)"),
        ("nn.Dense, 7, dtype=jnp.bfloat16", "nnx.Linear(in_features, 7, dtype=jnp.bfloat16, rngs=rngs)"),
        (
            "nn.Dense, 7, kernel_init=nn.initializers.normal(0.02)",
            "nnx.Linear(in_features, 7, kernel_init=nnx.initializers.normal(0.02), rngs=rngs)",
        ),
        ("nn.LayerNorm, epsilon=EPSILON", "nnx.LayerNorm(in_features, epsilon=layers.EPSILON, rngs=rngs)"),
        ("nn.Dense, 7, dtype=jn.bfloat16", "nnx.Linear(in_features, 7, dtype=jnp.bfloat16, rngs=rngs)"),
        ("Block, 7", "layers.Block(7, in_features=in_features, rngs=rngs)"),
    ],
)
def test_what_they_bind_is_written_here(call: str, definition: str, written: str) -> None:
    text, left = _fixed(f"Layer = functools.partial({definition})", call)
    assert not left
    (line,) = [line for line in _unwrapped(text).splitlines() if "rngs=rngs" in line]
    assert line.partition(" = ")[2] == written


@pytest.mark.parametrize(
    ("definition", "name"),
    [
        # another assignment of it may come before the constructor, or after
        ("Layer = functools.partial(nn.LayerNorm, epsilon=EPSILON)\nEPSILON = 1e-4", "EPSILON"),
        (
            "Layer = functools.partial(nn.LayerNorm, epsilon=EPSILON)\n\n\ndef change():\n    global EPSILON\n"
            "    EPSILON = 1e-4",
            "EPSILON",
        ),
        ("Layer = norm(1e-5)", "epsilon"),  # also the name of an argument of the constructor
    ],
)
def test_names_that_this_file_does_not_know_are_refused(definition: str, name: str) -> None:
    text, left = _fixed(definition, "Layer()")
    assert "class Model(nn.Module)" in text
    assert f"of `layers` reads `{name}`, which `model` doesn't know" in left[0]
