"""Activations that names tell: `getattr(nn, self.act)`, by functions, too, and what may be a layer instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert
from tests.linen_module.test_layer_functions import converted

CONVERTER = """
def to_function(fn):
    if fn == "linear":
        return lambda x: x
    elif isinstance(fn, str):
        return getattr(nn, fn)
    elif callable(fn):
        return fn
    raise ValueError(fn)
"""
FUNCTIONS = {
    "a name or a function": CONVERTER,
    "a name in lower case": "def to_function(fn):\n    if fn is None:\n        return lambda x: x\n    fn = fn.lower()\n"
    "    return getattr(nn, fn)\n",
    "a name that takes the function's place": "def to_function(fn):\n    if isinstance(fn, str):\n"
    "        fn = getattr(nn, fn)\n    return fn\n",
    "a name that may be wrong": "def to_function(fn):\n    found = getattr(nn, fn, None)\n    if found is None:\n"
    "        raise ValueError(fn)\n    return found\n",
    "a table first": "TABLE = {'relu': nn.relu}\n\n\ndef to_function(fn):\n    if fn in TABLE:\n        return TABLE[fn]\n"
    "    return getattr(nn, fn)\n",
}


def converted_with_act(tmp_path: Path, functions: str, body: str) -> tuple[str, str]:
    """The new text of a class with a field `act`, and why it isn't converted."""
    code = (
        f"{functions}\n\nclass Net(nn.Module):\n    act: str = 'relu'\n\n    @nn.compact\n"
        f"    def __call__(self, x):\n        {body}\n"
    )
    path = tmp_path / "model.py"
    path.write_text(f"import flax.linen as nn\nimport jax.numpy as jnp\n\n\n{code}")
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Net")
    return text, refusal.reason if refusal else ""


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    "body",
    [
        "return nn.Dense(3)(to_function(self.act)(nn.Dense(4)(x)))",
        "act = to_function(self.act)\n        return nn.Dense(3)(act(nn.Dense(4)(x)))",
    ],
)
def test_functions_that_tell_an_activation(tmp_path: Path, function: str, body: str) -> None:
    text, reason = converted_with_act(tmp_path, function, body)
    assert reason == ""
    assert "nnx.Linear(4, 3, rngs=rngs)" in text
    assert "to_function(self.act)" in text


def test_a_condition_over_what_a_field_holds(tmp_path: Path) -> None:
    body = "act = getattr(nn, self.act) if isinstance(self.act, str) else self.act\n        return nn.Dense(3)(act(x))"
    text, reason = converted_with_act(tmp_path, "", body)
    assert reason == ""
    assert "act = getattr(nnx, self.act) if isinstance(self.act, str) else self.act" in text


@pytest.mark.parametrize(
    "body",
    [
        "return to_function(self.act)(3)(x)",
        "return to_function(self.act)(features=3)(x)",
        "act = to_function(self.act)\n        return act(len(self.act))(x)",
        "layers = [to_function(self.act)(n) for n in range(3)]\n        return layers[0](x)",
        "y = to_function(self.act)(x)\n        return y(x)",
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_may_be_a_layer_stays(tmp_path: Path, function: str, body: str) -> None:
    _, reason = converted_with_act(tmp_path, function, body)
    assert reason == "unknown-module"


@pytest.mark.parametrize(
    "function",
    [
        "import elsewhere\n\n\ndef to_function(fn):\n    return getattr(elsewhere, fn)\n",
        "def to_function(fn):\n    return getattr(nn, fn)()\n",
        "def to_function(fn):\n    if fn == 'dense':\n        return nn.Dense(3)\n    return getattr(nn, fn)\n",
        "def to_function(fn):\n    if fn == 'dense':\n        return lambda x: nn.Dense(3)(x)\n    return getattr(nn, fn)\n",
    ],
)
def test_functions_that_may_give_a_layer_stay(tmp_path: Path, function: str) -> None:
    _, reason = converted_with_act(tmp_path, function, "return to_function(self.act)(x)")
    assert reason


def test_a_name_that_halves_sizes(tmp_path: Path) -> None:
    body = "return nn.Dense(3)(to_function(self.act)(x))"
    _, reason = converted_with_act(tmp_path, f"{CONVERTER}\n\nNAMES = ['relu', 'glu']\n", body)
    assert reason
    _, reason = converted_with_act(tmp_path, CONVERTER, body)
    assert reason == ""


# ---- names of modules that a condition chooses, lists that `reduce` folds ------------------------------------

NAMES = {
    "by the number of rounds": ("'wi' if self.n == 1 else f'wi_{i}'", ""),
    "texts alone": ("'a' if self.n == 1 else 'b'", ""),
    "by the round": ("'wi' if i == 0 else f'wi_{i}'", "unsupported-syntax"),
    "by the call": ("'wi' if train else f'wi_{i}'", "unsupported-syntax"),
}


@pytest.mark.parametrize(("name", "expected"), NAMES.values(), ids=NAMES)
def test_names_that_a_condition_chooses(tmp_path: Path, name: str, expected: str) -> None:
    body = f"for i in range(self.n):\n            x = nn.Dense(3, name={name})(x)\n        return x"
    text, reason = converted(tmp_path, "", body)
    assert reason == expected
    assert ("self.wis = " in text or "nnx.List" in text) is not bool(expected)


def test_names_of_two_modules_that_a_condition_could_make_equal(tmp_path: Path) -> None:
    first = "x = nn.Dense(3, name='a' if self.n == 1 else 'b')(x)"
    _, reason = converted(tmp_path, "", f"{first}\n        return nn.Dense(3, name='b')(x)")
    assert reason == "parameter-names"
    _, reason = converted(tmp_path, "", f"{first}\n        return nn.Dense(3, name='c')(x)")
    assert reason == ""


FOLDS = {
    "a product": ("functools.reduce(operator.mul, xs)", ""),
    "a product by the function's own name": ("reduce(operator.mul, xs)", ""),
    "a sum": ("sum(xs)", ""),
    "a library's function": ("functools.reduce(jnp.maximum, xs)", ""),
    "a lambda": ("functools.reduce(lambda a, b: a + 2 * b, xs)", ""),
    "a list that grows": ("functools.reduce(lambda a, b: jnp.concatenate([a, b], -1), xs)", "unknown-size"),
    "a function that isn't known": ("functools.reduce(join, xs)", "unknown-size"),
}


@pytest.mark.parametrize(("fold", "expected"), FOLDS.values(), ids=FOLDS)
def test_lists_that_are_folded(tmp_path: Path, fold: str, expected: str) -> None:
    body = (
        "xs = []\n        for _ in range(self.n):\n            xs.append(nn.relu(nn.Dense(4)(x)))\n"
        f"        return nn.Dense(3)({fold})"
    )
    header = "import functools\nimport operator\nfrom functools import reduce\nfrom elsewhere import join\n"
    text, reason = converted(tmp_path, header, body)
    assert reason == expected
    assert ("nnx.Linear(4, 3, rngs=rngs)" in text) is not bool(expected)


def test_a_function_of_the_same_name(tmp_path: Path) -> None:
    reduce = "def reduce(function, xs):\n    xs.append(xs[0])\n    return function(*xs[:2])\n"
    body = (
        "xs = []\n        for _ in range(self.n):\n            xs.append(nn.relu(nn.Dense(4)(x)))\n"
        "        return nn.Dense(3)(reduce(jnp.add, xs))"
    )
    _, reason = converted(tmp_path, reduce, body)
    assert reason == "unknown-size"
