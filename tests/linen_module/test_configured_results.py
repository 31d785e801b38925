"""Results that a condition over fields chooses: code that asks the same condition knows which one it has."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

LAYER = """\
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class Layer(nn.Module):
    config: Any
    pair: bool = True

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        if self.config.scan and self.pair:
            return x, jnp.zeros(3)
        return x


class Model(nn.Module):
    config: Any
    other: Any = None
    pair: bool = True

    @nn.compact
    def __call__(self, x):
"""

KNOWN = {
    "below the same condition": """
        if self.config.scan:
            x, _ = Layer(self.config)(x)
        else:
            x = Layer(self.config)(x)
        return nn.Dense(3)(x)
    """,
    "asked the other way round": """
        x = Layer(self.config)(x)
        if not self.config.scan:
            return nn.Dense(3)(x)
        x, _ = x
        return nn.Dense(3)(x)
    """,
    "by an expression": """
        x = Layer(self.config)(x)
        return nn.Dense(3)(x[0] if self.config.scan else x)
    """,
    "by a condition that says more": """
        x = Layer(self.config)(x)
        if self.config.scan and self.other is None:
            x, _ = x
        elif self.config.scan:
            x = x[0]
        return nn.Dense(3)(x)
    """,
    "by two conditions": """
        x = Layer(self.config, self.pair)(x)
        if self.config.scan:
            if self.pair:
                x, _ = x
        return nn.Dense(3)(x)
    """,
}

UNKNOWN = {
    "another condition": """
        if self.config.unroll:
            x = Layer(self.config)(x)
        else:
            x, _ = Layer(self.config)(x)
        return nn.Dense(3)(x)
    """,
    "the configuration of another module": """
        x = Layer(self.other)(x)
        if self.config.scan:
            x, _ = x
        return nn.Dense(3)(x)
    """,
    "only one of two conditions": """
        x = Layer(self.config, self.pair)(x)
        if self.config.scan:
            x = x[0]
        return nn.Dense(3)(x)
    """,
    "a condition that tells less": """
        x = Layer(self.config)(x)
        if self.config.scan or self.pair:
            x = x[0]
        return nn.Dense(3)(x)
    """,
}


def _converted(tmp_path: Path, body: str) -> tuple[bool, str]:
    path = tmp_path / "model.py"
    path.write_text(LAYER + "".join(f"        {line}\n" for line in dedent(body).strip().split("\n")))
    _, found = convert(path)
    assert "model.Layer" in found.converted
    refusal = found.refused.get("model.Model")
    return "model.Model" in found.converted, refusal.reason if refusal else ""


@pytest.mark.parametrize("way", KNOWN)
def test_code_that_asks_the_same_condition(way: str, tmp_path: Path) -> None:
    assert _converted(tmp_path, KNOWN[way]) == (True, "")


@pytest.mark.parametrize("way", UNKNOWN)
def test_code_that_asks_something_else(way: str, tmp_path: Path) -> None:
    assert _converted(tmp_path, UNKNOWN[way]) == (False, "unknown-size")
