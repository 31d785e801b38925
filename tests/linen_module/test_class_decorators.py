"""Decorators of classes: what may keep the class, as a registry does, constructs its Linen form later."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import functools

import flax.linen as nn
import gin

MODELS = {{}}


{functions}


@{decorator}
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


def get(name):
    return MODELS[name]()
"""
REGISTER = (
    "def register(name):\n    def wrap(cls):\n        MODELS[name] = cls\n        return cls\n    return wrap"
)
ADD = "def add(cls):\n    MODELS.setdefault(cls.__name__, cls)\n    return cls"
WRAP = "def wrap(cls):\n    return functools.lru_cache(cls)"
DOCUMENT = (
    "def document(text):\n    def wrap(cls):\n        cls.__doc__ = text\n        return cls\n    return wrap"
)


@pytest.mark.parametrize(
    ("functions", "decorator", "moves"),
    [
        (REGISTER, "register('net')", False),
        (ADD, "add", False),
        (WRAP, "wrap", False),
        (DOCUMENT, "document('A net.')", True),
        ("from zoo import register", "register('net')", False),
        ("", "gin.configurable", True),
    ],
)
def test_decorators_that_keep_a_class(functions: str, decorator: str, moves: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(functions=functions, decorator=decorator))
    text, conversions = convert(path)
    assert ("class Net(nnx.Module)" in text) is moves
    if not moves:
        assert [refusal.reason for refusal in conversions.refused.values()] == ["class-as-value"]
