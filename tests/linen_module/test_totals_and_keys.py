"""Sums that start as a number have the size of what is added; items under names have sizes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = "from typing import Any, Optional, Sequence\n\nimport flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"
MODEL = """class Model(nn.Module):
    names: Any

    @nn.compact
    def __call__(self, inputs{annotation}, train=False):
        {body}
"""


def _convert(tmp_path: Path, body: str, annotation: str = "") -> tuple[str, str]:
    path = tmp_path / "model.py"
    path.write_text(HEAD + MODEL.format(body=body.replace("\n", "\n        "), annotation=annotation))
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Model")
    return text, refusal.reason if refusal is not None else ""


@pytest.mark.parametrize("start", ["0", "0.0", "1"])
def test_a_total_has_the_size_of_the_outputs(tmp_path: Path, start: str) -> None:
    body = f"total = {start}\nfor _ in range(3):\n    total = total + nn.Dense(8)(inputs)\nreturn nn.Dense(4)(total)"
    text, reason = _convert(tmp_path, body)
    assert reason == "" and "nnx.Linear(8, 4, rngs=rngs)" in text


NO_TOTALS = {
    "a number on the way of a call, which a layer takes": (
        "mask = nn.Dense(3)(inputs) if train else 1.0\n"
        "return nn.MultiHeadDotProductAttention(2)(inputs, mask * 1.0)"
    ),
    "outputs of different sizes": (
        "total = 0\nfor i in range(3):\n    total = nn.Dense(8 + i)(inputs)\nreturn nn.Dense(4)(total + self.names)"
    ),
}


@pytest.mark.parametrize("body", NO_TOTALS.values(), ids=NO_TOTALS)
def test_other_totals_are_refused(tmp_path: Path, body: str) -> None:
    assert _convert(tmp_path, body)[1] != ""


LOOP = "x = 0.0\nfor name in self.names:\n    x = x + nn.Dense(6)(inputs[name])\nreturn x"
BY_NAME = {
    "a loop over names": LOOP,
    "a loop over names that are written out": LOOP.replace("self.names", '("image", "text")'),
    "a name of a configuration": "return nn.Dense(6)(inputs[self.names.first])",
}


@pytest.mark.parametrize("annotation", ["", ": dict[str, jax.Array]", ": Any"])
@pytest.mark.parametrize("body", BY_NAME.values(), ids=BY_NAME)
def test_items_under_names_have_no_common_size(tmp_path: Path, body: str, annotation: str) -> None:
    assert _convert(tmp_path, body, annotation)[1] == "unknown-size"


@pytest.mark.parametrize(
    "annotation", [": jax.Array", ": Optional[jnp.ndarray]", ": 'jax.Array'", ": jax.Array | None"]
)
def test_rows_of_an_array_have(tmp_path: Path, annotation: str) -> None:
    text, reason = _convert(tmp_path, LOOP, annotation)
    assert reason == "" and "in_features: int" in text
