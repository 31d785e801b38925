"""Loops that take modules of `setup` by numbers, and what the variables of setup's own loops may tell in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple = (4, 6)
    depth: int = 2

    def setup(self):
        {made}

    @nn.compact
    def __call__(self, x):
        for n in {rounds}:
            {body}
        return {result}
"""
BY_NUMBER = "self.blocks = [nn.Dense(self.widths[i]) for i in range(len(self.widths))]"
BY_WIDTH = "self.blocks = [nn.Dense(width) for width in self.widths]"
CALL = "x = self.blocks[n](x)"
ALL = "range(len(self.blocks))"


def _convert(
    tmp_path: Path, made: str = BY_NUMBER, rounds: str = ALL, body: str = CALL, result: str = "nn.Dense(3)(x)"
) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(made=made, rounds=rounds, body=body, result=result))
    text, conversions = convert(path)
    return text, [f"{refusal.reason}: {refusal.detail}" for refusal in conversions.refused.values()]


@pytest.mark.parametrize(
    ("made", "rounds"),
    [
        (BY_NUMBER, ALL),
        (BY_WIDTH, ALL),
        (BY_NUMBER, "range(len(self.widths))"),
        ("self.blocks = [nn.Dense(4 * (i + 1)) for i in range(self.depth)]", "range(self.depth)"),
    ],
)
def test_each_block_gets_what_the_one_before_returns(tmp_path: Path, made: str, rounds: str) -> None:
    text, refused = _convert(tmp_path, made, rounds)
    assert not refused
    assert "self.blocks.append(nnx.Linear(x_features, " in text


@pytest.mark.parametrize(
    ("rounds", "body"),
    [
        ("range(len(self.blocks) - 1)", CALL),
        ("range(self.depth)", CALL),
        ("range(1, len(self.blocks))", CALL),
        (ALL, "x = self.blocks[len(self.blocks) - 1 - n](x)"),
        (ALL, "x = self.blocks[n - 1](x)"),
        (ALL, "x = self.blocks[n](self.blocks[0](x))"),
        (ALL, "n = 0; x = self.blocks[n](x)"),
    ],
)
def test_other_orders_are_refused(tmp_path: Path, rounds: str, body: str) -> None:
    _, refused = _convert(tmp_path, rounds=rounds, body=body)
    assert len(refused) == 1


def test_layers_of_the_call_are_sized_by_the_numbers_of_their_own_loop(tmp_path: Path) -> None:
    text, refused = _convert(tmp_path, body=f"{CALL}; x = x * nn.Dense(x.shape[-1])(nn.LayerNorm()(x))")
    assert not refused
    assert "nnx.Linear(self.widths[n], self.widths[n], rngs=rngs)" in text
    assert "nnx.LayerNorm(self.widths[n], rngs=rngs)" in text


@pytest.mark.parametrize("made", [BY_NUMBER, BY_WIDTH])
def test_no_layer_of_the_call_is_sized_by_a_variable_that_setup_has_left(tmp_path: Path, made: str) -> None:
    """`i` would be the last number there, in every round."""
    body = "x = n(x); x = x * nn.Dense(x.shape[-1])(jnp.ones((1, 5)))"
    _, refused = _convert(tmp_path, made, "self.blocks", body)
    variable = "i" if made is BY_NUMBER else "width"
    assert refused == [f"unknown-size: `{variable}`, by which `setup` makes modules, tells a size of others"]
