"""`**options` of a construction: what stays as it is, and what only a written-out argument could say."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
from functools import partial

import flax.linen as nn
import jax.numpy as jnp


def options(**more):
    return dict(kernel_init=nn.initializers.ones, **more)


def mode(**more):
    return more


def with_bias(given):
    given["use_bias"] = False


class Model(nn.Module):
    narrow: bool = False

    @nn.compact
    def __call__(self, x):
"""

STAYS = {
    "a function's result": "return nn.Dense(3, **options(use_bias=False))(x)",
    "a dtype for a norm that it can't harm": "return nn.LayerNorm(**dict(epsilon=1e-3, dtype=jnp.float32))(x)",
    "a dict that only a branch fills": """
        return nn.Dense(3, **({"use_bias": False} if self.narrow else {}))(x)
    """,
}

REFUSED = {
    "another name in NNX": "return nn.Dense(**options(features=3))(x)",
    "the module's name": 'return nn.Dense(3, **options(name="head"))(x)',
    "a list that NNX wants as a tuple": "return nn.Conv(3, (1,), **options(strides=[2]))(x)",
    "the mode": "return nn.Dropout(0.5, **mode(deterministic=not self.narrow))(x)",
    "an initializer that NNX takes for all gates at once": """
        cell = nn.OptimizedLSTMCell(4, **options())
        return cell(cell.initialize_carry(None, x.shape), x)[1]
    """,
    "a dict that a function changes": """
        kw = dict(kernel_init=nn.initializers.ones)
        with_bias(kw)
        return nn.Dense(3, **kw)(x)
    """,
    "a dict that is changed under another name": """
        kw = options()
        other = kw
        other["features"] = 3
        return nn.Dense(3, **kw)(x)
    """,
    "a window that may be missing": """
        kw = {"strides": 2} if self.narrow else {}
        return nn.Conv(3, (3,), **kw)(x)
    """,
    "a field that another class doesn't miss": """
        kw = {"dtype": jnp.bfloat16} if self.narrow else {}
        return nn.LayerNorm(**kw)(x)
    """,
}


def _converted(tmp_path: Path, body: str) -> str | None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body).strip(), " " * 8) + "\n")
    text, conversions = convert(path)
    return text if conversions.converted else None


@pytest.mark.parametrize("case", STAYS)
def test_items_that_mean_the_same_stay(tmp_path: Path, case: str) -> None:
    text = _converted(tmp_path, STAYS[case])
    assert text is not None
    assert "nnx." in text.partition("def __init__")[2].partition("def __call__")[0]


@pytest.mark.parametrize("case", REFUSED)
def test_items_that_do_not_are_refused(tmp_path: Path, case: str) -> None:
    assert _converted(tmp_path, REFUSED[case]) is None


HOLDER = """\
from typing import Any

import flax.linen as nn


class Inner(nn.Module):
    width: int
    other: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.FIELD)(x)


class Holder(nn.Module):
    config: Any
    more: Any = None

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(CALL(x))
"""


@pytest.mark.parametrize(
    ("call", "size"),
    [
        ("Inner(**self.config)", 'self.config["width"]'),
        ("Inner(other=5, **self.config.model)", 'self.config.model["width"]'),
        ("Inner(other=self.config.inner.width, **self.config.inner)", "self.config.inner.width"),
        ("Inner(**self.config, **self.more)", None),
        ("Inner(*self.more, **self.config)", None),
    ],
)
def test_fields_that_a_mapping_has_to_give(tmp_path: Path, call: str, size: str | None) -> None:
    path = tmp_path / "model.py"
    path.write_text(HOLDER.replace("CALL", call).replace("FIELD", "width"))
    text, conversions = convert(path)
    assert ("model.Holder" in conversions.refused) is (size is None)
    assert size is None or f"nnx.Linear({size}, 2" in text


def test_fields_that_a_mapping_may_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(HOLDER.replace("CALL", "Inner(**self.config)").replace("FIELD", "other"))
    assert "model.Holder" in convert(path)[1].refused
