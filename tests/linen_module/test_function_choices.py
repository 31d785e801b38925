"""Functions that return one of several functions: what calls of these may be, and what may be a layer instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.test_layer_functions import converted

CHOICES = {
    "two branches": "def act(kind):\n    if kind > 2:\n        return nn.relu\n    else:\n        return nn.gelu\n",
    "one after the other": "def act(kind):\n    if kind > 2:\n        return nn.relu\n    if kind > 1:\n        return jnp.tanh\n"
    "    raise ValueError(kind)\n",
    "lambdas": "def act(kind):\n    if kind > 2:\n        return lambda x: jnp.tanh(x) * 2\n    return lambda x: x.astype(int)\n",
    "an expression": "def act(kind):\n    return nn.relu if kind > 2 else jnp.tanh\n",
    "a variable": "def act(kind):\n    if kind > 2:\n        f = nn.relu\n    else:\n        f = jnp.tanh\n    return f\n",
}
USES = {
    "called at once": "return nn.Dense(3)(act(self.n)(x))",
    "kept in a variable": "f = act(self.n)\n        return nn.Dense(3)(f(x))",
}


@pytest.mark.parametrize("body", USES.values(), ids=USES)
@pytest.mark.parametrize("function", CHOICES.values(), ids=CHOICES)
def test_activations(tmp_path: Path, function: str, body: str) -> None:
    text, reason = converted(tmp_path, function, body)
    assert reason == ""
    assert "self.dense = nnx.Linear(in_features, 3, rngs=rngs)" in text
    assert body.replace("nn.Dense(3)", "self.dense") in text


def test_a_choice_that_the_call_takes(tmp_path: Path) -> None:
    body = "if train:\n            f = nn.relu\n        else:\n            f = jnp.tanh\n        return nn.Dense(3)(f(x))"
    text, reason = converted(tmp_path, "", body)
    assert reason == ""
    assert "self.dense(f(x))" in text


EXPRESSIONS = {
    "called at once": "return nn.Dense(3)(({0})(x))",
    "kept in a variable": "f = {0}\n        return nn.Dense(3)(f(x))",
}


@pytest.mark.parametrize("body", EXPRESSIONS.values(), ids=EXPRESSIONS)
@pytest.mark.parametrize(
    "choice",
    [
        "nn.relu if self.n > 2 else nn.tanh",
        "nn.relu if self.n else lambda x: x",
        "nn.relu if train else nn.gelu",
    ],
)
def test_conditional_expressions(tmp_path: Path, choice: str, body: str) -> None:
    text, reason = converted(tmp_path, "", body.format(choice))
    assert reason == ""
    assert "self.dense = nnx.Linear(in_features, 3, rngs=rngs)" in text
    assert choice.replace("nn.", "nnx.") in text


@pytest.mark.parametrize("body", EXPRESSIONS.values(), ids=EXPRESSIONS)
@pytest.mark.parametrize(
    "choice",
    [
        "nn.glu if self.n > 2 else nn.tanh",  # halves
        "distrax.Normal if self.n else nn.relu",
        "(lambda x: nn.Dense(4)(x)) if self.n > 2 else nn.relu",
        "make(self.n) if self.n > 2 else nn.relu",
    ],
)
def test_conditional_expressions_that_stay(tmp_path: Path, choice: str, body: str) -> None:
    _, reason = converted(tmp_path, "import distrax\nfrom elsewhere import make\n", body.format(choice))
    assert reason


TABLE = """\
def mish(x):
    y = jax.nn.softplus(x)
    return x * jnp.tanh(y)


def wide(x):
    h = nn.Dense(x.shape[-1])(x)
    return h


def layer(x):
    return wide(x)


PLAIN = {1: nn.relu, 2: mish}
MAKING = {1: wide, 2: mish}
HANDING_ON = {1: lambda x: layer(x), 2: lambda x: x}
"""


@pytest.mark.parametrize(
    "choice",
    [
        "PLAIN[self.n]",
        "PLAIN.get(self.n, nn.gelu)",
        "mish if self.n else nn.relu",
        "mish if self.n else lambda x: x",
    ],
)
def test_functions_of_the_file(tmp_path: Path, choice: str) -> None:
    text, reason = converted(
        tmp_path, "import jax\n" + TABLE, f"f = {choice}\n        return nn.Dense(3)(f(x))"
    )
    assert reason == ""
    assert "return self.dense(f(x))" in text


MAKING = {
    "a table": "return MAKING[self.n](x)",
    "a table, kept": "f = MAKING[self.n]\n        return f(x)",
    "a table with a default": "return MAKING.get(self.n, mish)(x)",
    "a table of what calls another one": "return HANDING_ON[self.n](x)",
    "an expression": "f = wide if self.n else mish\n        return f(x)",
    "a statement": "if self.n:\n            f = layer\n        else:\n            f = mish\n        return f(x)",
}


@pytest.mark.parametrize("body", MAKING.values(), ids=MAKING)
def test_functions_of_the_file_that_make_layers(tmp_path: Path, body: str) -> None:
    _, reason = converted(tmp_path, "import jax\n" + TABLE, body)
    assert reason == "unknown-module"


LEFT = {
    "functions that change sizes": "def act(kind):\n    if kind > 2:\n        return nn.glu\n    return nn.relu\n",
    "a class of another library": "import distrax\n\n\ndef act(kind):\n    if kind > 2:\n        return distrax.Normal\n"
    "    return nn.relu\n",
    "a function that makes a layer": "def act(kind):\n    if kind > 2:\n        return lambda x: nn.Dense(3)(x)\n    return nn.relu\n",
    "a function that may make one": "def layer(x):\n    return nn.Dense(3)(x)\n\n\ndef act(kind):\n    if kind > 2:\n"
    "        return lambda x: layer(x)\n    return nn.relu\n",
}


@pytest.mark.parametrize("function", LEFT.values(), ids=LEFT)
def test_what_stays(tmp_path: Path, function: str) -> None:
    _, reason = converted(tmp_path, function, USES["called at once"])
    assert reason
