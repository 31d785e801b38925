"""Layers without variables: those whose arguments only a call knows are made there, conditions of calls leave them alone."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Plain(nn.Module):
    rate: float = 0.1

    @nn.compact
    def __call__(self, x, train):
        return nn.Dropout(self.rate)(x * 2.0, deterministic=not train)


class Scaled(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return Plain()(x, train) * self.param("scale", nn.initializers.ones, ())


class Model(nn.Module):
    rate: float = 0.1

    @nn.compact
    def __call__(self, x, train, drop=0.5, key=None, extra=True):
"""


def written(tmp_path: Path, body: str) -> tuple[str, str]:
    """The text of the converted model, and why it wasn't converted."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body).strip(), " " * 8) + "\n")
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Model")
    return text.partition("class Model")[2], f"{refusal.reason}: {refusal.detail}" if refusal else ""


LATE = {
    "its rate": (
        "return nn.Dropout(rate=drop)(x, deterministic=not train)",
        "return nnx.Dropout(rate=drop)(x, deterministic=not train, rngs=self.dropout_rng)",
    ),
    "its axes": (
        "return nn.Dropout(0.5, (x.ndim - 1,))(x, deterministic=not train)",
        "return nnx.Dropout(0.5, broadcast_dims=(x.ndim - 1,))",
    ),
    "its axes, in a variable": (
        """
        axes = range(1, x.ndim)
        return nn.Dropout(0.5, axes)(x, deterministic=not train)
        """,
        "return nnx.Dropout(0.5, broadcast_dims=axes)(x, deterministic=not train, rngs=self.dropout_rng)",
    ),
    "a key of the call's own": (
        "return nn.Dropout(drop)(x, deterministic=not train, rng=key)",
        "return nnx.Dropout(drop)(x, deterministic=not train, rngs=key)",
    ),
    "another stream": (
        "return nn.Dropout(drop, rng_collection='noise')(x, deterministic=not train)",
        "return nnx.Dropout(drop, rng_collection='noise')(x, deterministic=not train, rngs=self.noise_rng)",
    ),
    "the mode": (
        "return nn.Dropout(drop, deterministic=not train)(x)",
        "return nnx.Dropout(drop)(x, deterministic=not train, rngs=self.dropout_rng)",
    ),
    "in a loop": (
        """
        for i in range(2):
            x = nn.Dropout(drop / (i + 1))(x, not train)
        return x
        """,
        "x = nnx.Dropout(drop / (i + 1))(x, deterministic=not train, rngs=self.dropout_rng)",
    ),
}


@pytest.mark.parametrize("case", LATE)
def test_dropout_that_only_a_call_can_make(tmp_path: Path, case: str) -> None:
    body, expected = LATE[case]
    text, why = written(tmp_path, body)
    assert why == ""
    assert expected in " ".join(text.split()).replace("( ", "(").replace(" )", ")")
    stream = "noise" if "noise" in body else "dropout"
    assert f"self.{stream}_rng = rngs.{stream}.fork()" in text


@pytest.mark.parametrize(
    "body",
    [
        "return nn.Dropout(self.rate)(x, deterministic=not train)",
        "rate = self.rate / 2\nreturn nn.Dropout(rate)(x, deterministic=not train)",
    ],
)
def test_what_the_constructor_can_make_is_made_there(tmp_path: Path, body: str) -> None:
    text, _ = written(tmp_path, body)
    assert "self.dropout = nnx.Dropout(" in text
    assert "dropout_rng" not in text


@pytest.mark.parametrize(
    "body",
    [
        "layer = nn.Dropout(drop)\nreturn layer(layer(x, not train), not train)",
        "return nn.Dropout(drop, rng_collection=key)(x, not train)",
        "return nn.Sequential([nn.Dropout(drop, deterministic=True)])(x)",
        "return nn.BatchNorm(momentum=drop)(x, use_running_average=not train)",
    ],
)
def test_other_layers_are_not_made_by_calls(tmp_path: Path, body: str) -> None:
    _, why = written(tmp_path, body)
    assert why.startswith("dynamic-construction: ")


FREE = {
    "a class without variables": "if extra:\n    x = Plain()(x, train)\nreturn x",
    "it alone behind an exit": "if not extra:\n    return x\nx = Plain()(x, train)\nreturn x",
}


@pytest.mark.parametrize("case", FREE)
def test_calls_decide_about_modules_without_variables(tmp_path: Path, case: str) -> None:
    text, why = written(tmp_path, FREE[case])
    assert why == ""
    assert "        self.plain = Plain(rngs=rngs)\n" in text


@pytest.mark.parametrize("case", FREE)
def test_calls_do_not_decide_about_those_with_variables(tmp_path: Path, case: str) -> None:
    body = (
        FREE[case].replace("Plain", "Scaled").replace("if extra", "if key.ok").replace("not extra", "key.ok")
    )
    _, why = written(tmp_path, body)
    assert why.startswith("dynamic-construction: ")
