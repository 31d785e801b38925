"""Code that counts the axes of an input, though it runs for more: taken at its word where nothing else shows a rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    squared: bool = False

    @nn.compact
    def __call__(self, x, y):
        {body}
        return nn.Dense(3)(x)
{more}"""
STACK = "x = jnp.hstack([x, y])"
SQUARE = "x = ((x[:, None, :] - jnp.ones((1, 4, 2))) ** 2).sum(axis=2)"
HOLDER = """

class Holder(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        return Model()({x}, y)
"""


def line(tmp_path: Path, body: str, more: str = "") -> str | None:
    """The layer of the model; None if it isn't converted."""
    path = tmp_path / "model.py"
    path.write_text(CODE.format(body=body, more=more))
    text, conversions = convert(path)
    if "model.Model" in conversions.refused or "model.Holder" in conversions.refused:
        return None
    (found,) = (one.strip() for one in text.splitlines() if "nnx.Linear(" in one)
    return found


@pytest.mark.parametrize(
    ("body", "size"),
    [(STACK, "x_features + y_features"), (SQUARE, "4"), (SQUARE.replace("None", "jnp.newaxis"), "4")],
)
def test_suggested_ranks(tmp_path: Path, body: str, size: str) -> None:
    found = line(tmp_path, body)
    assert found is not None and f"nnx.Linear({size}, 3" in found


@pytest.mark.parametrize(
    "body",
    [
        SQUARE.replace("None, :", "None"),  # as well the rows of images
        SQUARE.replace(":, None", "..., None"),
        f"x[:, :, None, :]\n        {SQUARE}",  # two ranks
        f"if x.ndim == 2: y = y + 1\n        {STACK}",  # it does look at the rank
        "x = jnp.concatenate([x, y], axis=1)",
    ],
)
def test_what_suggests_no_rank(tmp_path: Path, body: str) -> None:
    assert line(tmp_path, body) is None


def test_what_callers_show_counts_more(tmp_path: Path) -> None:
    use = "\n\nModel().init(jax.random.key(0), jnp.ones((2, 5, 3)), jnp.ones((2, 4, 3)))\n"
    found = line(tmp_path, STACK, use)
    assert found is None or "x_features + y_features" not in found


@pytest.mark.parametrize(("given", "is_converted"), [("x", True), ("x[0]", True), ("x.sum(axis=0)", False)])
def test_other_modules_have_to_show_the_rank(tmp_path: Path, given: str, is_converted: bool) -> None:
    assert (line(tmp_path, STACK, HOLDER.format(x=given)) is not None) is is_converted
