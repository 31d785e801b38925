"""Arrays that `setup` computes from parameters: properties, as long as nothing else depends on when they are computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp

SCALE = 2.0


def scaled(module, x):
    return x * module.param("more", nn.initializers.ones, ())


class Model(nn.Module):
    n: int = 3

    def setup(self):
        {setup}
        self.dense = nn.Dense(self.n)

    def __call__(self, x):
        return self.dense(x) * self.scale
{more}"""
PARAM = 'self.param("scale", nn.initializers.ones, (self.n,))'

WRITTEN = {
    "what the module knows": (
        f"self.scale = nn.softplus({PARAM}) * SCALE + self.n",
        ["self.scale_param = nnx.Param(", "return nnx.softplus(self.scale_param[...]) * SCALE + self.n\n"],
    ),
    "another name than the parameter's": (
        "self.scale = jnp.exp(self.param('log_scale', nn.initializers.zeros, (self.n,)))",
        ["self.log_scale = nnx.Param(", "def scale(self):\n        return jnp.exp(self.log_scale[...])\n"],
    ),
    "several parameters": (
        "self.scale = self.param('a', nn.initializers.ones, ()) * self.param('b', nn.initializers.ones, ())",
        ["self.a = nnx.Param(", "self.b = nnx.Param(", "return self.a[...] * self.b[...]\n"],
    ),
    "a local variable": (
        f"k = jnp.ones(3)\n        self.scale = {PARAM} * k",
        ["        k = jnp.ones(3)\n        return self.scale_param[...] * k\n"],
    ),
    "another attribute": (
        f"self.k = jnp.ones(3)\n        self.scale = {PARAM} * self.k",
        ["        self.k = jnp.ones(3)\n", "        return self.scale_param[...] * self.k\n"],
    ),
    "a condition": (
        f"if self.n > 2:\n            self.scale = jnp.exp({PARAM})\n        else:\n            self.scale = 1.0",
        [
            "        if self.n > 2:\n            return jnp.exp(self.scale_param[...])\n        else:\n            return 1.0\n"
        ],
    ),
    "read in setup": (
        f"self.scale = jnp.exp({PARAM})\n        self.other = self.scale * 2",
        ["    def other(self):\n        return self.scale * 2\n"],
    ),
}


def _converted(tmp_path: Path, setup: str, more: str = "") -> tuple[str, str]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(setup=setup, more=more))
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Model")
    return text, refusal.reason if refusal else ""


@pytest.mark.parametrize(("setup", "parts"), WRITTEN.values(), ids=WRITTEN)
def test_properties(tmp_path: Path, setup: str, parts: list[str]) -> None:
    text, reason = _converted(tmp_path, setup)
    assert reason == ""
    for part in ("    @property\n    def scale(self):\n", "return self.dense(x) * self.scale\n", *parts):
        assert part in text


SUBCLASS = (
    "\n\nclass Other(Model):\n    def setup(self):\n        super().setup()\n        self.scale = 1.0\n"
)
READING = "\n\nclass Other(Model):\n    scale: float = 1.0\n"
LEFT = {
    "a conditional expression": f"self.scale = jnp.exp({PARAM} if self.n > 2 else jnp.zeros(3))",
    "a parameter that may not be needed": f"self.scale = jnp.exp(self.n or {PARAM})",
    "two values": f"self.scale = jnp.exp({PARAM})\n        self.scale = 2.0",
    "random numbers": f"self.scale = {PARAM} * jax.random.normal(self.make_rng('noise'), (3,))",
    "a submodule": f"self.scale = nn.Dense(3)({PARAM})",
    "a variable": "self.scale = jnp.exp(self.variable('stats', 'scale', jnp.ones, (3,)).value)",
    "a function that makes a parameter": f"self.scale = scaled(self, {PARAM})",
    "more than one target": f"self.scale = self.again = jnp.exp({PARAM})",
    "no array": f"self.scale = [jnp.exp({PARAM})]",
}


@pytest.mark.parametrize("setup", LEFT.values(), ids=LEFT)
def test_what_stays(tmp_path: Path, setup: str) -> None:
    assert _converted(tmp_path, setup)[1]


@pytest.mark.parametrize(
    "more", [SUBCLASS, READING], ids=["a subclass that sets it", "a field of a subclass"]
)
def test_subclasses(tmp_path: Path, more: str) -> None:
    assert _converted(tmp_path, f"self.scale = jnp.exp({PARAM})", more)[1]
