"""What `setup` may do: Linen runs it in every call, a constructor runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Table(nn.Module):
    width: int = 3

    def setup(self):
        self.rows = self.param("rows", nn.initializers.zeros, (3,))

    def scaled(self, x):
        return x * self.rows

    def __call__(self, x):
        return x + self.rows


class Model(nn.Module):
    flag: bool = True

    def setup(self):
        {setup}

    def offset(self):
        return self.dense(jnp.ones((1, 3)))

    @property
    def bias(self):
        return self.table.rows

    def __call__(self, x):
        return x * self.out if hasattr(self, "out") else x
"""
PARAM = 'self.param("w", nn.initializers.zeros, (3,))'


def _converted(tmp_path: Path, *setup: str) -> str:
    """The class as it is written, or why it isn't."""
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(setup="\n        ".join(setup)))
    text, conversions = convert(path)
    return text if "model.Model" in conversions.converted else conversions.refused["model.Model"].detail


@pytest.mark.parametrize(
    ("setup", "does"),
    [
        ((f"w = {PARAM}", "self.out = w * 2"), "computes with `w`"),
        ((f"self.w = {PARAM}", "self.out = self.w * 2"), "reads `self.w`"),
        (("k = jnp.ones(3)", f"self.out = jax.nn.softmax({PARAM}) * k"), "computes with `w`"),
        ((f"self.out, self.more = {PARAM}",), "computes with `w`"),
        (('v = self.variable("counts", "n", jnp.zeros, (3,))', "self.out = v.value"), "computes with `n`"),
        (
            ("self.embed = nn.Embed(4, 3)", "self.out = self.embed.embedding[0]"),
            "reads `self.embed.embedding`",
        ),
        (("self.table = Table()", "self.out = self.table.rows"), "reads `self.table.rows`"),
        (("self.table = Table()", "self.out = self.bias"), "reads `self.table.rows`"),
        (("dense = nn.Dense(3)", "self.out = dense(jnp.ones((1, 3)))"), "calls `dense`"),
        (("self.dense = nn.Dense(3)", "self.out = self.offset()"), "calls `dense`"),
        (('self.out = jax.random.normal(self.make_rng("noise"), (3,))',), "reads `self.make_rng`"),
    ],
)
def test_what_every_call_computes_anew_is_refused(tmp_path: Path, setup: tuple[str, ...], does: str) -> None:
    assert f"`setup` {does}: Linen does so in every call" in _converted(tmp_path, *setup)


@pytest.mark.parametrize(
    ("setup", "why"),
    [
        ((f"self.out = {PARAM} if self.flag else 1.0",), "makes a variable in a conditional expression"),
        ((f"self.out = {PARAM}", "if not self.flag: self.out = 1.0"), "and something else in others"),
    ],
)
def test_what_only_some_models_have_as_a_variable_is_refused(
    tmp_path: Path, setup: tuple[str, ...], why: str
) -> None:
    assert why in _converted(tmp_path, *setup)


@pytest.mark.parametrize(
    ("setup", "written"),
    [
        (("self.table = Table()", "self.out = 2.0 * self.table.width"), "self.out = 2.0 * self.table.width"),
        (("self.table = Table()", "self.scale = self.table.scaled"), "self.scale = self.table.scaled"),
        (("self.out = jnp.arange(3) / 3",), "self.out = jnp.arange(3) / 3"),
    ],
)
def test_what_stays_the_same_moves_to_the_constructor(
    tmp_path: Path, setup: tuple[str, ...], written: str
) -> None:
    assert written in _converted(tmp_path, *setup)


def test_a_parameter_that_nothing_reads_is_still_one(tmp_path: Path) -> None:
    text = _converted(tmp_path, PARAM)
    assert "        self.w = nnx.Param(nnx.initializers.zeros(rngs.params(), (3,)))\n" in text


COMPACT = """\
import flax.linen as nn


class Model(nn.Module):
    flag: bool = True

    @nn.compact
    def __call__(self, x):
        # Nothing reads it.
        {statement}
        return x

    def touch(self):
        return 1
"""


@pytest.mark.parametrize("statement", [PARAM, f"if self.flag:\n            {PARAM}"])
def test_a_method_does_not_read_a_parameter_for_nothing(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(COMPACT.format(statement=statement))
    text = convert(path)[0]
    assert "self.w = nnx.Param(" in text
    assert "    def __call__(self, x):\n        # Nothing reads it.\n        return x\n" in text


ASKED = """\
import flax.linen as nn


class Model(nn.Module):
    flag: bool = False
    depth: int = 2

    def setup(self):
        self.used = nn.Dense(3)
        self.aux = nn.Dense(3)

    def __call__(self, x):
        x = self.used(x)
{call}
"""
IN_BRANCH = "        if self.flag:\n            x = self.aux(x)\n        return x"
IN_OTHER = "        if self.depth > 1:\n            return x\n        else:\n            return self.aux(x)"
IN_BOTH = "        if self.flag:\n            return self.aux(x)\n        return self.aux(x + 1)"
OUTSIDE = "        if self.flag:\n            x = self.aux(x)\n        return self.aux"


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (IN_BRANCH, "        if self.flag:\n    "),
        (IN_OTHER, "        if not (self.depth > 1):\n    "),
        (IN_BOTH, ""),
        (OUTSIDE, ""),
        (IN_BRANCH.replace("self.flag", "x.ndim > 1"), ""),
    ],
)
def test_layers_that_only_some_models_call_are_made_for_these(tmp_path: Path, call: str, asked: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(ASKED.format(call=call))
    text, conversions = convert(path)
    assert not conversions.refused
    used = "        self.used = nnx.Linear(in_features, 3, rngs=rngs)\n"
    assert f"{used}{asked}        self.aux = nnx.Linear(3, 3, rngs=rngs)\n" in text


UNCALLED = """\
import flax.linen as nn


class Table(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + self.param("w", nn.initializers.zeros, (3,))


class Model(nn.Module):
    def setup(self):
        self.used = Table()
        self.aux = Table()

    def __call__(self, x):
        return {result}


{more}
"""
SUBCLASS = "class Other(Model):\n    def __call__(self, x):\n        return self.aux(self.used(x))"


@pytest.mark.parametrize(
    ("result", "more", "stays"),
    [
        ("self.used(x)", "", False),  # Linen makes no parameters of `aux`
        ("self.used(x), self.aux", "", True),
        ("self.used(x)", SUBCLASS, True),
    ],
)
def test_submodules_that_nothing_calls(tmp_path: Path, result: str, more: str, stays: bool) -> None:
    path = tmp_path / "model.py"
    path.write_text(UNCALLED.format(result=result, more=more))
    text, conversions = convert(path)
    assert "model.Model" in conversions.converted
    assert ("self.aux = Table(rngs=rngs)" in text) is stays


def test_a_submodule_that_may_be_called_by_its_name_keeps_the_class(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        UNCALLED.format(result="self.used(x)", more='def aux(model):\n    return getattr(model, "aux")')
    )
    _, conversions = convert(path)
    assert conversions.refused["model.Model"].detail == "`aux` is never called in the class"


def test_a_setup_without_statements_leaves_nothing_in_the_constructor(tmp_path: Path) -> None:
    text = _converted(tmp_path, "pass")
    model = text[text.index("class Model") :]
    assert "self.flag = flag\n" in model
    assert "pass" not in model
