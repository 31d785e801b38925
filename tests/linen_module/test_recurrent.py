"""`nn.RNN` and `nn.Bidirectional`: which cells move with them, and with which sizes."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import flax.linen as nn
import jax.numpy as jnp


class OwnCell(nn.RNNCellBase):
    width: int

    @nn.compact
    def __call__(self, carry, x):
        carry = nn.Dense(self.width)(x) + carry
        return carry, carry


class Model(nn.Module):
    width: int
    wide: bool = False

    @nn.compact
    def __call__(self, x):
"""


def model(tmp_path: Path, body: str) -> tuple[list[str], str]:
    """The reasons why the model is refused, and the file."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body).strip(), " " * 8) + "\n")
    text, conversions = convert(path)
    return [r.reason for name, r in conversions.refused.items() if name.endswith("Model")], text


@pytest.mark.parametrize(
    "body",
    [
        "return nn.RNN(OwnCell(self.width))(x)",
        """
        cell = nn.LSTMCell(4)
        if self.wide:
            x = nn.RNN(cell)(x)
        return cell((x[:, 0], x[:, 0]), x[:, 0])[1]
        """,
        "return nn.Bidirectional(nn.RNN(nn.LSTMCell(4)), nn.LSTMCell(4))(x)",
        "cell = nn.LSTMCell(4)\nreturn nn.RNN(cell)(nn.RNN(cell)(x))",
        "for i in range(2):\n    cell = nn.LSTMCell(self.width)\n    x = nn.RNN(cell)(x)\nreturn x",
        "rnns = [nn.RNN(OwnCell(4)) for _ in range(2)]\nfor rnn in rnns:\n    x = rnn(x)\nreturn x",
        "return nn.RNN(nn.remat(nn.LSTMCell)(4))(x)",
        "return nn.RNN(nn.LSTMCell(4), split_rngs={'params': False, 'dropout': True})(x)",
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, body: str) -> None:
    reasons, _ = model(tmp_path, body)

    assert reasons


@pytest.mark.parametrize(
    ("body", "written"),
    [
        (
            "return nn.Dense(2)(nn.RNN(nn.LSTMCell(self.width))(x))",
            [
                "nnx.RNN(nnx.LSTMCell(in_features, self.width, rngs=rngs))",
                "nnx.Linear(self.width, 2, rngs=rngs)",
            ],
        ),
        (
            """
            rnn = nn.RNN(nn.SimpleCell(self.width), return_carry=True)
            carry, x = rnn(x)
            return nn.Dense(2)(carry)
            """,
            ["nnx.Linear(self.width, 2, rngs=rngs)", "return_carry=True"],
        ),
        (
            """
            both = nn.Bidirectional(nn.RNN(nn.LSTMCell(3)), nn.RNN(nn.LSTMCell(self.width)))
            return nn.Dense(2)(both(x))
            """,
            ["nnx.Linear(3 + self.width, 2, rngs=rngs)", "nnx.Bidirectional("],
        ),
        (
            "cell = nn.LSTMCell(4)\nreturn nn.RNN(cell)(x)",
            ["self.cell = nnx.LSTMCell(in_features, 4, rngs=rngs)", "self.rnn = nnx.RNN(self.cell)"],
        ),
        (
            "for _ in range(2):\n    x = nn.RNN(nn.LSTMCell(self.width))(x)\nreturn x",
            ["nnx.RNN(nnx.LSTMCell(in_features, self.width, rngs=rngs))", "in_features = self.width"],
        ),
    ],
)
def test_cells_get_the_features_of_the_sequence(tmp_path: Path, body: str, written: list[str]) -> None:
    reasons, after = model(tmp_path, body)

    assert not reasons
    for text in written:
        assert text in after
