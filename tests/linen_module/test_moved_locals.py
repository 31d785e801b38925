"""Local variables and functions that constructions read: moved to the constructor, or the class stays."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    features: int
    init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x, flag=False):
"""

MOVED = {
    "a number": (
        "bound = 1 / math.sqrt(x.shape[-1])\n"
        "return nn.Dense(3, kernel_init=nn.initializers.uniform(bound))(x)\n",
        "bound = 1 / math.sqrt(in_features)",
    ),
    "a number that a field decides": (
        "if self.features > 3:\n    bound = 1 / math.sqrt(x.shape[-1])\nelse:\n    bound = 0.5\n"
        "return nn.Dense(3, kernel_init=nn.initializers.uniform(bound))(x)\n",
        "bound = 1 / math.sqrt(in_features)",
    ),
    "what a field holds, or else depends on a size": (
        "if self.init is None:\n    init = nn.initializers.uniform(1 / math.sqrt(x.shape[-1]))\n"
        "else:\n    init = self.init\n" + "return nn.Dense(3, kernel_init=init)(x)\n",
        ".initializers.uniform(1 / math.sqrt(in_features))",
    ),
    "what stands in for a field that is None": (
        "init = self.init\nif init is None:\n    init = nn.initializers.uniform(1 / math.sqrt(x.shape[-1]))\n"
        "return nn.Dense(3, kernel_init=init)(x)\n",
        "if init is None:",
    ),
    "one of the library's or one that depends on a size": (
        "init = nn.initializers.ones\nif self.features > 3:\n    init = nn.initializers.uniform(1 / x.shape[-1])\n"
        "return nn.Dense(3, kernel_init=init)(x)\n",
        "initializers.ones",
    ),
    "a function": (
        "def init(key, shape, dtype=jnp.float32):\n    return jnp.ones(shape, dtype) / x.shape[-1]\n"
        "return nn.Dense(3, kernel_init=init)(x)\n",
        "return jnp.ones(shape, dtype) / in_features",
    ),
    "a function of fields": (
        "def width(i):\n    return jnp.clip(self.features * 2**i, 2, 64).item()\n"
        "hidden = width(0) if self.features > 3 else 5\n"
        "return nn.Dense(width(1))(nn.Dense(hidden)(x))\n",
        "hidden = width(0) if self.features > 3 else 5",
    ),
    "a function whose own variable is called like one of the method": (
        "y = x * 2\n"
        "def init(key, shape, dtype=jnp.float32):\n    y = jnp.ones(shape, dtype)\n    return y / x.shape[-1]\n"
        "return nn.Dense(3, kernel_init=init)(y)\n",
        "return y / in_features",
    ),
}


def model(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body), " " * 8))
    return path


@pytest.mark.parametrize("case", MOVED)
def test_what_the_constructor_repeats(tmp_path: Path, case: str) -> None:
    body, line = MOVED[case]
    text, conversions = convert(model(tmp_path, body))
    assert conversions.refused == {}
    constructor, _, method = text.partition("def __call__")
    assert line in constructor
    assert line not in method


def test_what_the_method_reads_stays_there_too(tmp_path: Path) -> None:
    body = "bound = 1 / math.sqrt(x.shape[-1])\n"
    body += "return bound * nn.Dense(3, kernel_init=nn.initializers.uniform(bound))(x)\n"
    text, _ = convert(model(tmp_path, body))
    assert text.count("bound = 1 / math.sqrt(") == 2


def test_a_condition_that_something_needs_stays_with_its_test(tmp_path: Path) -> None:
    body = "init = self.init\nif init is None:\n    init = nn.initializers.ones\n    bias = x.mean()\n"
    body += "else:\n    bias = 0.0\nreturn bias + nn.Dense(3, kernel_init=init)(x)\n"
    text, conversions = convert(model(tmp_path, body))
    assert conversions.refused == {}
    method = text.partition("def __call__")[2]
    assert (
        method.index("init = self.init") < method.index("if init is None:") < method.index("bias = x.mean()")
    )


def test_a_condition_about_what_nothing_ever_read_stays_with_its_test(tmp_path: Path) -> None:
    body = "small = self.features < 3\nif small:\n    unused = 3\nreturn nn.Dense(3)(x)\n"
    text, _ = convert(model(tmp_path, body))
    assert "        small = self.features < 3\n        if small:\n" in text


def test_a_condition_that_only_renews_what_it_asks_about_stays_with_it(tmp_path: Path) -> None:
    body = "kind = self.init\nif kind is None:\n    kind = nn.initializers.ones\nreturn nn.Dense(3)(x)\n"
    text, _ = convert(model(tmp_path, body))
    assert "        kind = self.init\n        if kind is None:\n" in text.partition("def __call__")[2]


USED = "return nn.Dense(3, kernel_init=nn.initializers.uniform(bound))(x)\n"
WITH_INIT = "return nn.Dense(3, kernel_init=init)(x)\n"

KEPT = {
    "a number from data": "bound = float(x.max())\n" + USED,
    "a number that the call decides": (
        "if flag:\n    bound = 1 / x.shape[-1]\nelse:\n    bound = 2 / x.shape[-1]\n" + USED
    ),
    "what a field holds, where the call wants it": (
        "init = nn.initializers.uniform(1 / x.shape[-1])\nif flag:\n    init = self.init\n" + WITH_INIT
    ),
    "what an argument holds": (
        "init = flag\nif init is None:\n    init = nn.initializers.uniform(1 / x.shape[-1])\n" + WITH_INIT
    ),
    "what another variable holds": (
        "init = self.init\nfor scale in x:\n    init = nn.initializers.uniform(scale)\n" + WITH_INIT
    ),
    "a number that is changed": "bound = 1 / math.sqrt(x.shape[-1])\nbound *= 2\n" + USED,
    "a number that a loop changes": (
        "bound = 1 / math.sqrt(x.shape[-1])\nfor _ in range(self.features):\n    bound = bound / 2\n" + USED
    ),
    "an array that is changed in place": (
        "import numpy as np\nbound = np.ones(x.shape[-1])\nbound[0] = 0.5\n" + USED
    ),
    "a random number": "bound = jax.random.uniform(self.make_rng('params'), (x.shape[-1],))\n" + USED,
    "what a layer returns": "bound = nn.Dense(1)(x)\n" + USED,
    "a function of data": "def init(key, shape, dtype=jnp.float32):\n    return jnp.full(shape, x.mean())\n"
    + WITH_INIT,
    "a function of a variable that changes afterwards": (
        "def init(key, shape, dtype=jnp.float32):\n    return jnp.ones(shape, dtype) / x.shape[-1]\n"
        "x = jnp.concatenate([x, x], axis=-1)\n" + WITH_INIT
    ),
    "a function of a variable that is set afterwards": (
        "def init(key, shape, dtype=jnp.float32):\n    return jnp.ones(shape, dtype) * scale\n"
        "scale = 1 / x.shape[-1]\n" + WITH_INIT
    ),
    "a function that makes a layer": (
        "def init(key, shape, dtype=jnp.float32):\n    return nn.Dense(shape[-1])(x)\n" + WITH_INIT
    ),
    "a function that draws random numbers of the module": (
        "def init(key, shape, dtype=jnp.float32):\n"
        "    return jax.random.normal(self.make_rng('params'), shape)\n" + WITH_INIT
    ),
    "a function that counts its calls": (
        "seen = []\ndef width(i):\n    seen.append(i)\n    return jnp.clip(len(seen), 1, 9).item()\n"
        "unused = width(1)\nhidden = width(2)\nreturn nn.Dense(hidden)(x)\n"
    ),
    "a function of a list that grows": (
        "seen = []\ndef width(i):\n    return jnp.clip(len(seen), i, 9).item()\n"
        "seen.append(x)\nhidden = width(1)\nreturn nn.Dense(hidden)(x)\n"
    ),
    "a function of an argument": (
        "def width(i):\n    return jnp.clip(i, 1, flag).item()\nhidden = width(2)\nreturn nn.Dense(hidden)(x)\n"
    ),
    "a decorated function": (
        "@jax.jit\ndef init(key, shape, dtype=jnp.float32):\n    return jnp.ones(shape, dtype) / x.shape[-1]\n"
        + WITH_INIT
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_only_a_call_knows(tmp_path: Path, case: str) -> None:
    path = model(tmp_path, KEPT[case])
    text, conversions = convert(path)
    assert conversions.converted == {}
    assert text == path.read_text()
