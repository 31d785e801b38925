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
        "return nn.Bidirectional(nn.RNN(nn.LSTMCell(4)), nn.LSTMCell(4))(x)",
        "cell = nn.LSTMCell(4)\nreturn nn.RNN(cell)(nn.RNN(cell)(x))",
        "for i in range(2):\n    cell = nn.LSTMCell(self.width)\n    x = nn.RNN(cell)(x)\nreturn x",
        "rnns = [nn.RNN(OwnCell(4)) for _ in range(2)]\nfor rnn in rnns:\n    x = rnn(x)\nreturn x",
        "return nn.RNN(nn.remat(nn.LSTMCell)(4))(x)",
        "return nn.RNN(nn.LSTMCell(4), split_rngs={'params': False, 'dropout': False})(x)",
        "return nn.RNN(nn.LSTMCell(4), split_rngs={'params': True})(x)",
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, body: str) -> None:
    reasons, _ = model(tmp_path, body)

    assert reasons


def test_a_cell_that_is_scanned_in_one_case_has_the_size_of_either(tmp_path: Path) -> None:
    body = """
        cell = nn.LSTMCell(4)
        if self.wide:
            x = nn.RNN(cell)(x)
        return cell((x[:, 0], x[:, 0]), x[:, 0])[1]
        """
    reasons, text = model(tmp_path, body)
    assert not reasons
    assert "self.cell = nnx.LSTMCell(4 if self.wide else in_features, 4, rngs=rngs)" in text
    assert "if self.wide:\n            self.rnn = nnx.RNN(self.cell)" in text


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


OWN = """\
import flax.linen as nn
import jax.numpy as jnp


class Cell(nn.RNNCellBase):
    width: int

    @nn.compact
    def __call__(self, carry, x):
        carry = jnp.tanh(nn.Dense(self.width)(x) + carry)
        return carry, carry

    @property
    def num_feature_axes(self) -> int:
        return 1


class Model(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, first):
        rnn = nn.RNN(Cell(self.width), return_carry=True)
        carry, y = rnn(x, initial_carry=first)
        return nn.Dense(2)(y) + carry.mean()
"""


def _own(tmp_path: Path, source: str) -> tuple[set[str], str]:
    path = tmp_path / "model.py"
    path.write_text(source)
    text, conversions = convert(path)
    return {name.rpartition(".")[2] for name in conversions.converted}, text


def test_cells_of_the_project_run_over_sequences(tmp_path: Path) -> None:
    converted, text = _own(tmp_path, OWN)

    assert converted == {"Cell", "Model"}
    written = " ".join(text.split())
    assert "nnx.RNN( Cell(self.width, in_features=x_features, rngs=rngs), return_carry=True )" in written
    assert "carry, y = self.rnn(x, initial_carry=first)" in text


def test_the_carry_decides_about_the_size_of_cells_in_cells(tmp_path: Path) -> None:
    source = OWN.replace(
        "carry = jnp.tanh(nn.Dense(self.width)(x) + carry)", "carry, _ = nn.GRUCell(self.width)(carry, x)"
    )
    converted, text = _own(tmp_path, source)

    assert converted == {"Cell", "Model"}
    assert "LinenGRUCell(x_features, carry_features, rngs=rngs)" in text
    assert "carry_features=first_features" in text


@pytest.mark.parametrize(
    ("old", "new"),
    {
        "no first carry": ("rnn(x, initial_carry=first)", "rnn(x)"),
        "a first carry that is none": ("initial_carry=first", "initial_carry=None"),
        "another axis of features": ("return 1", "return 2"),
        "an axis that isn't known": ("return 1", "return self.width // 4"),
        "no word on axes": ("    @property\n    def num_feature_axes(self) -> int:\n        return 1\n", ""),
        "in reverse": ("initial_carry=first", "initial_carry=first, reverse=True"),
        "a flag that isn't known": ("return_carry=True", "return_carry=self.width > 3"),
        "state": ("jnp.tanh(", 'self.variable("state", "n", jnp.ones, (1,)).value * jnp.tanh('),
        "what it sows": (
            "        return carry, carry",
            '        self.sow("a", "b", x)\n        return carry, carry',
        ),
        "batch statistics": ("jnp.tanh(", "nn.BatchNorm(use_running_average=True)("),
        "other variables": ("return_carry=True", 'return_carry=True, variable_carry="state"'),
        "the same draws in each step": (
            "return_carry=True",
            'return_carry=True, split_rngs={"params": False, "dropout": False}',
        ),
    }.values(),
)
def test_other_cells_of_the_project_stay(tmp_path: Path, old: str, new: str) -> None:
    assert old in OWN
    converted, _ = _own(tmp_path, OWN.replace(old, new))

    assert "Model" not in converted


def test_cells_with_carries_of_their_own_may_get_others(tmp_path: Path) -> None:
    source = OWN.replace(
        "carry = jnp.tanh(nn.Dense(self.width)(x) + carry)", "carry, _ = nn.GRUCell(self.width)(carry, x)"
    )
    own = "    def initialize_carry(self, rng, shape):\n        return jnp.zeros((*shape[:-1], self.width))\n"
    converted, _ = _own(tmp_path, source.replace("\n\nclass Model", f"\n{own}\n\nclass Model"))

    assert "Model" not in converted
