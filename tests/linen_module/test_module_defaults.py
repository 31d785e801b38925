"""Modules as the defaults of fields stay there only where they have no variables, streams or sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class Plain(nn.Module):
    scale: float = 2.0

    def __call__(self, x):
        return x * self.scale


class Sized(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(x)


class Scaled(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, ())


class Noisy(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(x)


class Loud(nn.Module):
    def __call__(self, x):
        self.sow("intermediates", "x", x)
        return x


class Basis(nn.Module):
    size: int = 4

    def setup(self):
        self.numbers = jnp.arange(self.size)

    def __call__(self, x):
        return x + self.numbers


class Net(nn.Module):
    first: nn.Module = DEFAULT

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(self.first(x))


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Net()(x)
"""


def converted(tmp_path: Path, default: str) -> tuple[str, set[str]]:
    """The file with this default, and the classes that were refused."""
    path = tmp_path / "before.py"
    path.write_text(CODE.replace("DEFAULT", default))
    text, conversions = convert(path)
    return text, {name.rpartition(".")[2] for name in conversions.refused}


@pytest.mark.parametrize("default", ["Plain()", "Plain(0.5)", "Plain(scale=-1.0)"])
def test_modules_without_variables_stay_defaults(tmp_path: Path, default: str) -> None:
    text, refused = converted(tmp_path, default)
    assert not refused
    assert f"first: nnx.Module = {default}" in text


@pytest.mark.parametrize(
    "default",
    [
        "Sized()",
        "Scaled()",
        "Noisy()",
        "Loud()",
        "Basis()",  # computes when it is made: at import
        "nn.Dense(3)",
        "nn.Sequential([Plain()])",
        "Plain(name='first')",
        "Plain(**{'scale': 1.0})",
    ],
)
def test_other_modules_are_refused(tmp_path: Path, default: str) -> None:
    _, refused = converted(tmp_path, default)
    assert "Net" in refused
