"""Sizes that loops of other modules, functions of numbers and dicts with computed keys leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.text import SourceText
from tests.linen_module.fixture import convert

HEAD = """\
import functools
import math

import flax.linen as nn
import jax.numpy as jnp

WIDTHS = [4]

"""
BLOCK = """
class Block(nn.Module):
    depth: int
    widths: tuple = (1, 2)

    @nn.compact
    def __call__(self, x):
        {body}
        return x


class Model(nn.Module):
    depth: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Block(self.depth)(x))
"""
ADD = "x = jnp.concatenate([x, nn.Dense({})(x)], axis=-1)"


def _sizes(tmp_path: Path, code: str) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(HEAD + code)
    text, conversions = convert(path)
    return text, [refusal.detail for refusal in conversions.refused.values()]


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (f"for _ in range(self.depth): {ADD.format(2)}", "in_features + 2 * self.depth"),
        (f"for _ in range(1, self.depth): {ADD.format(2)}", "in_features + 2 * max(self.depth - 1, 0)"),
        (f"for _ in self.widths: {ADD.format(2)}", "in_features + 4"),
        (f"for _ in range(self.depth): {ADD.format('self.depth')}", "in_features + self.depth**2"),
    ],
)
def test_rounds_that_add_the_same(tmp_path: Path, body: str, size: str) -> None:
    text, refused = _sizes(tmp_path, BLOCK.format(body=body))
    assert refused == []
    assert f"nnx.Linear({size}, 3, rngs=rngs)" in text


@pytest.mark.parametrize(
    "body",
    [
        f"for width in range(self.depth): {ADD.format('width + 1')}",  # another size in each round
        f"for i in range(self.depth):\n            if i == 2: break\n            {ADD.format(2)}",
        f"for i in range(self.depth):\n            if i == 2: continue\n            {ADD.format(2)}",
        f"while x.shape[-1] < 9: {ADD.format(2)}",
    ],
)
def test_other_rounds_are_left(tmp_path: Path, body: str) -> None:
    assert _sizes(tmp_path, BLOCK.format(body=body))[1] != []


FUNCTION = """
{function}


class Model(nn.Module):
    width: float = 1.0
    features: int = 8

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(rounded({arguments}))(x)
        return nn.Dense(3)(x)
"""
ROUNDED = """\
def rounded(v, divisor=8):
    new = max(divisor, int(v + divisor / 2) // divisor * divisor)
    if new < 0.9 * v:
        new += divisor
    return new"""


@pytest.mark.parametrize(
    ("function", "arguments", "called"),
    [
        (ROUNDED, "16 * self.width", "rounded(16 * self.width)"),
        (ROUNDED, "x.shape[-1] * 2, divisor=4", "rounded(in_features * 2, divisor=4)"),
        (ROUNDED, "self.features, 4", "rounded(self.features, 4)"),
        (
            "def rounded(v):\n    while v % 8:\n        v += 1\n    return int(math.ceil(v))",
            "self.features",
            "rounded(self.features)",
        ),
    ],
)
def test_functions_of_numbers_are_called(tmp_path: Path, function: str, arguments: str, called: str) -> None:
    text, refused = _sizes(tmp_path, FUNCTION.format(function=function, arguments=arguments))
    assert refused == []
    assert text.count(f"{called}, ") == 2
    assert f"nnx.Linear({called}, 3, rngs=rngs)" in text


@pytest.mark.parametrize(
    "function",
    [
        ROUNDED.replace("def", "@functools.partial(print)\ndef"),
        ROUNDED.replace("    if", "    WIDTHS.append(new)\n    if"),
        ROUNDED.replace("new < 0.9 * v", "new < open('limit').read()"),
        ROUNDED.replace("    return", "    global last\n    last = new\n    return"),
    ],
)
def test_functions_that_do_more_are_left(tmp_path: Path, function: str) -> None:
    code = FUNCTION.format(function=function, arguments="x.shape[-1]")
    assert _sizes(tmp_path, code)[1] != []


def _imported(tmp_path: Path, imports: str, call: str, within: str = "pass") -> tuple[str, list[str]]:
    (tmp_path / "widths.py").write_text(f"{ROUNDED}\n")
    code = f"""
{imports}


class Model(nn.Module):
    width: float = 1.0

    @nn.compact
    def __call__(self, x):
        {within}
        x = nn.Dense({call})(x)
        return nn.Dense(3)(x)
"""
    path = tmp_path / "model.py"
    path.write_text(HEAD + code)
    project = Project([path, tmp_path / "widths.py"], lambda p: SourceText.decode(p.read_bytes()))
    conversions = convert_project(project)
    text = "".join(edit.new for c in conversions.converted.values() for edit in c.edits)
    return text, [refusal.detail for refusal in conversions.refused.values()]


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("from widths import rounded", "rounded(16 * self.width)"),
        ("from widths import rounded as r8", "r8(16 * self.width, 4)"),
        ("import widths", "widths.rounded(16 * self.width)"),
    ],
)
def test_imported_functions_of_numbers(tmp_path: Path, imports: str, call: str) -> None:
    text, refused = _imported(tmp_path, imports, call)
    assert refused == []
    assert f"nnx.Linear({call}, 3, rngs=rngs)" in text


def test_functions_that_only_the_method_imports(tmp_path: Path) -> None:
    text, refused = _imported(tmp_path, "", "r8(16 * self.width)", "from widths import rounded as r8")
    assert refused or "from widths import rounded as r8" in text


def test_a_function_that_may_return_a_float_is_no_size(tmp_path: Path) -> None:
    function = "def rounded(v):\n    if v > 8:\n        v = v * 1.5\n    return v"
    code = FUNCTION.format(function=function, arguments="x.shape[-1]").replace(
        "rounded(x.shape[-1])", "int(rounded(x.shape[-1]))"
    )
    text, refused = _sizes(tmp_path, code)
    assert refused or "nnx.Linear(int(rounded(in_features)), 3" in text


TABLE = """
class Model(nn.Module):
    keys: tuple = ("a", "b")

    @nn.compact
    def __call__(self, x):
        out = {{}}
        {body}
        return nn.Dense(3)(out["a"])
"""
STORES = "for key in self.keys:\n            out[key] = nn.Dense(4)(x)"
KNOWN = "out['a'] = nn.Dense(5)(x)"


def test_entries_behind_computed_keys_are_known(tmp_path: Path) -> None:
    text, refused = _sizes(tmp_path, TABLE.format(body=f"{STORES}\n        {KNOWN}"))
    assert refused == []
    assert "nnx.Linear(5, 3, rngs=rngs)" in text


@pytest.mark.parametrize(
    "body",
    [
        f"{KNOWN}\n        {STORES}",  # one of the keys may be "a"
        f"{STORES}\n        {KNOWN}\n        {STORES}",
        f"{STORES}\n        other = out\n        {KNOWN}\n        other['a'] = nn.Dense(6)(x)",
        f"{STORES}\n        {KNOWN}\n        out.update(a=x)",
        f"{STORES}\n        {KNOWN}\n        if self.keys: out['a'] = x",
    ],
)
def test_entries_that_may_be_others_are_not(tmp_path: Path, body: str) -> None:
    text, refused = _sizes(tmp_path, TABLE.format(body=body))
    assert refused or "nnx.Linear(5, 3, rngs=rngs)" not in text


RESIDUAL = """\
import flax.linen as nn


class Model(nn.Module):
    sizes: tuple
    residual: bool = False

    @nn.compact
    def __call__(self, x):
        for size in self.sizes:
            start = x
            x = nn.Dense(size)(x)
            {add}
        return x
"""


@pytest.mark.parametrize(
    ("add", "one_size"),
    [
        ("if self.residual and x.shape == start.shape:\n                x = x + start", True),
        ("x = x if not self.residual or x.shape != start.shape else x + start", True),
        ("if self.residual or x.shape == start.shape:\n                x = x + start", False),
        ("if self.residual:\n                x = x + start", False),
    ],
)
def test_sums_of_what_has_one_shape_leave_one_size(tmp_path: Path, add: str, one_size: bool) -> None:
    path = tmp_path / "model.py"
    path.write_text(RESIDUAL.format(add=add))
    text, conversions = convert(path)
    assert "model.Model" in conversions.converted
    assert ("            in_features = size\n" in text and "max(" not in text) is one_size
