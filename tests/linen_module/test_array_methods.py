"""Methods that arrays had once, in classes that become NNX: `x.split(...)` is `jnp.split(x, ...)`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

CODE = """
    import flax.linen as nn
    import jax


    class Gate(nn.Module):
        features: int

        @nn.compact
        def __call__(self, x, names="a,b"):
            first, *_ = names.split(",")
            value, gate = {split}
            return nn.Dense(3)(value * nn.sigmoid(gate))
"""


def _converted(tmp_path: Path, split: str) -> str:
    path = tmp_path / "model.py"
    path.write_text(dedent(CODE).format(split=split))
    text, conversions = convert(path)
    assert not conversions.refused
    return text


@pytest.mark.parametrize(
    ("split", "written", "size"),
    [
        (
            "nn.Dense(2 * self.features)(x).split(2, axis=-1)",
            "jnp.split(self.dense_0(x), 2, axis=-1)",
            "self.features",
        ),
        ("nn.relu(x).split(2, -1)", "jnp.split(nnx.relu(x), 2, -1)", "in_features // 2"),
        ("x.split(2, axis=-1)", "jnp.split(x, 2, axis=-1)", "in_features // 2"),
    ],
)
def test_split_of_an_array_is_a_function(tmp_path: Path, split: str, written: str, size: str) -> None:
    text = _converted(tmp_path, split)
    assert f"value, gate = {written}" in text
    assert 'first, *_ = names.split(",")' in text  # a text's own method
    assert f"nnx.Linear({size}, 3, rngs=rngs)" in text
    assert "import jax.numpy as jnp" in text
