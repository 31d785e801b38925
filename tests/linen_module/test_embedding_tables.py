"""`embed.embedding` is an array in Linen, and an `nnx.Param` in NNX."""

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"
MODEL = """\
def predict(x, embed):
    {use}


class Model(nn.Module):
    @nn.compact
    def __call__(self, ids):
        embed = nn.Embed(5, 3)
        return predict(embed(ids), embed)
"""


@pytest.mark.parametrize(
    ("use", "moves"),
    [
        ("return x @ embed.embedding.T", True),
        ("return x @ embed.embedding[1:].T", True),
        ("return x, embed.embedding", False),
        ("return 2 * x if isinstance(embed.embedding, jax.Array) else x", False),
    ],
)
def test_functions_outside_of_the_class(use: str, moves: bool, tmp_path: Path) -> None:
    path = tmp_path / "models.py"
    path.write_text(HEADER + MODEL.format(use=use))
    _, conversions = convert(path, bridge=False)
    details = [refusal.detail for refusal in conversions.refused.values()]
    assert details == ([] if moves else ["a function outside of the class reads `embed.embedding`"])
