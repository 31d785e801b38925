"""Sizes of inputs that are None by default need not be given where only conditions on fields use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    wide: bool = True
    depth: int = 2

    @nn.compact
    def __call__(self, x, extra{default}):
        x = nn.Dense(4)(x)
        {body}
        return nn.Dense(3)(x)
"""
USE = "x = x + nn.Dense(4)(extra)"


@pytest.mark.parametrize(
    ("default", "body", "optional"),
    [
        ("=None", f"if self.wide: {USE}", True),
        ("=None", f"if self.wide:\n            for _ in range(self.depth): {USE}", True),
        ("=None", f"for _ in range(self.depth):\n            if self.wide: {USE}", True),
        ("=None", USE, False),
        ("=None", f"for _ in range(self.depth): {USE}", False),
        ("=None", f"if self.wide: {USE}\n        {USE}", False),
        ("=0.5", f"if self.wide: {USE}", False),
        ("", f"if self.wide: {USE}", False),
    ],
)
def test_sizes_that_only_conditions_need(tmp_path: Path, default: str, body: str, optional: bool) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(default=default, body=body))
    text, conversions = convert(path)
    assert not conversions.refused
    assert ("extra_features: int | None = None" in text) is optional
    assert ("extra_features: int" in text) is True


@pytest.mark.parametrize(
    ("given", "optional"),
    [
        ("Model(self.wide)(x, extra)", True),
        ("Model(self.wide)(x, None)", True),
        ("Model(self.wide)(x, x)", False),
        ("Model(self.wide)(x, y)", False),
        (
            "x\n        if extra is not None:\n            x = Model(self.wide)(x, extra)\n        return x",
            False,
        ),
    ],
)
def test_an_argument_that_a_holder_may_not_have(tmp_path: Path, given: str, optional: bool) -> None:
    holder = f"""

class Holder(nn.Module):
    wide: bool = False

    @nn.compact
    def __call__(self, x, y, extra=None):
        return {given}
"""
    path = tmp_path / "model.py"
    path.write_text(CODE.format(default="", body=f"if self.wide: {USE}") + holder)
    text, _ = convert(path)
    model, _, _ = text.partition("class Holder")
    assert "extra_features: int" in model and ("extra_features: int | None = None" in model) is optional
