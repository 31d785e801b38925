"""Loops whose last round leaves an array of another rank: which conditions ask for it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple = (4, 6)
    stages: int = 2

    @nn.compact
    def __call__(self, x):
        for i in {loop}:
            x = nn.Conv(self.widths[i], (3, 3))(x)
            {condition}
                {body}
            {behind}
        return nn.Dense(3)(x)
"""
TOKENS = "x = jnp.mean(x, axis=(1, 2))"
IMAGE = f"x = x + 1\n            else:\n                {TOKENS}"


def _convert(
    tmp_path: Path, condition: str, body: str = IMAGE, loop: str = "range(self.stages)", behind: str = "pass"
) -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(loop=loop, condition=condition, body=body, behind=behind))
    return convert(path)


@pytest.mark.parametrize(
    ("condition", "body"),
    [
        ("if i != self.stages - 1:", IMAGE),
        ("if i < self.stages - 1:", IMAGE),
        ("if self.stages - 1 > i:", IMAGE),
        ("if i + 1 < self.stages:", IMAGE),
        ("if not i == self.stages - 1:", IMAGE),
        ("if i == self.stages - 1:", TOKENS),
        ("if i >= self.stages - 1:", TOKENS),
        ("if self.stages == i + 1:", TOKENS),
    ],
)
def test_conditions_on_the_last_round(tmp_path: Path, condition: str, body: str) -> None:
    text, conversions = _convert(tmp_path, condition, body)
    assert conversions.refused == {}
    assert "in_features = self.widths[i]\n        self.dense = nnx.Linear(in_features, 3, rngs=rngs)" in text


@pytest.mark.parametrize(
    "condition",
    [
        "if i != 0:",
        "if i != self.stages:",
        "if i < self.stages - 2:",
        "if i > self.stages - 1:",
        "if 2 * i != self.stages - 1:",
        "if len(self.widths) - 1 != i:",
    ],
)
def test_other_conditions_are_refused(tmp_path: Path, condition: str) -> None:
    _, conversions = _convert(tmp_path, condition)
    assert list(conversions.refused) == ["model.Model"]


def test_another_start_is_refused(tmp_path: Path) -> None:
    _, conversions = _convert(tmp_path, "if i != self.stages - 1:", loop="range(1, self.stages)")
    assert list(conversions.refused) == ["model.Model"]


@pytest.mark.parametrize("behind", ["x = nn.relu(x)", "if self.stages > 3:\n                break"])
def test_a_round_that_goes_on_is_refused(tmp_path: Path, behind: str) -> None:
    _, conversions = _convert(tmp_path, "if i != self.stages - 1:", behind=behind)
    assert list(conversions.refused) == ["model.Model"]


def test_a_size_that_only_the_last_round_has(tmp_path: Path) -> None:
    body = f"{TOKENS}[:, :2]"
    text, conversions = _convert(tmp_path, "if i == self.stages - 1:", body)
    assert conversions.refused == {}
    size = "max(min(self.widths[self.stages - 1], 2), 0) if self.stages > 0 else in_features"
    assert f"nnx.Linear( {size}, 3, rngs=rngs, )" in " ".join(text.split())


def test_a_size_of_the_last_round_that_depends_on_the_others_is_refused(tmp_path: Path) -> None:
    code = MODEL.replace("for i in", "y = x\n        for i in")
    body = "y = jnp.concatenate([x, y], axis=-1)\n            else:\n                x = jnp.mean(y, axis=(1, 2))"
    path = tmp_path / "model.py"
    path.write_text(
        code.format(loop="range(self.stages)", condition="if i != self.stages - 1:", body=body, behind="pass")
    )
    _, conversions = convert(path)
    assert "the last round of a loop leaves" in conversions.refused["model.Model"].detail
