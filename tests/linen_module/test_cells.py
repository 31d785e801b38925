"""Recurrent cells that a module calls itself: the first carry, carries of the caller, cells of older releases."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    width: int = 4

"""


def model(tmp_path: Path, body: str) -> tuple[list[str], str]:
    """Why the model is refused, and the file."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body).strip(), " " * 4) + "\n")
    text, conversions = convert(path)
    return [f"{r.reason}: {r.detail}" for r in conversions.refused.values()], text


@pytest.mark.parametrize(
    ("body", "written"),
    [
        pytest.param(
            """
            def setup(self):
                self.cell = nn.SimpleCell(self.width)

            def __call__(self, x):
                carry = self.cell.initialize_carry(jax.random.key(0), x.shape)
                return self.cell(carry, x)[1]
            """,
            [
                "self.cell = nnx.SimpleCell(in_features, self.width, dtype=None, rngs=rngs)",
                "carry = self.cell.initialize_carry(x.shape, nnx.Rngs(carry=jax.random.key(0)))",
            ],
            id="a cell's own carry",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, carry, x):
                carry, y = nn.LSTMCell(self.width)(carry, x)
                return carry, nn.Dense(2)(y)
            """,
            ["nnx.LSTMCell(in_features, self.width", "nnx.Linear(self.width, 2"],
            id="the carry of an LSTM as an argument",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, carry, x):
                carry, y = nn.LSTMCell()(carry, x)
                return carry, nn.Dense(2)(y)
            """,
            ["nnx.LSTMCell(x_features, carry_1_features, ", "nnx.Linear(carry_1_features, 2"],
            id="a cell without a size: that of its carry",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, x):
                batch = x.shape[:-1]
                carry = nn.LSTMCell.initialize_carry(jax.random.PRNGKey(0), batch, self.width)
                carry, y = nn.LSTMCell()(carry, x)
                return nn.Dense(2)(y)
            """,
            [
                "carry = (jnp.zeros((*batch, self.width)), jnp.zeros((*batch, self.width)))",
                "nnx.LSTMCell(in_features, self.width",
                "nnx.Linear(self.width, 2",
            ],
            id="older releases",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, carry, ins):
                start = nn.GRUCell.initialize_carry(jax.random.PRNGKey(0), (ins.shape[0],), ins.shape[1])
                carry = jnp.where(ins[:, :1] > 0, start, carry)
                return nn.GRUCell()(carry, ins)
            """,
            [
                "self, width: int = 4, *, carry_features: int, ins_features: int, rngs: nnx.Rngs",
                "start = jnp.zeros((ins.shape[0], ins.shape[1]))",
                "LinenGRUCell(ins_features, max(carry_features, ins_features), rngs=rngs)",
            ],
            id="older releases, a carry that meets another one",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, x):
                carry = nn.GRUCell().initialize_carry(jax.random.PRNGKey(0), (x.shape[0],), self.width)
                carry, y = nn.GRUCell()(carry, x)
                return nn.Dense(2)(y)
            """,
            [
                "carry = jnp.zeros((x.shape[0], self.width))",
                "LinenGRUCell(in_features, self.width, rngs=rngs)",
            ],
            id="older releases, by an instance",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, carry, x):
                start = {"h": jnp.zeros((3, self.width)), "c": jnp.zeros((3, self.width))}
                carry = jax.tree.map(lambda new, old: jnp.where(old > 0, new, old), start, carry)
                return nn.Dense(2)(nn.GRUCell(self.width)(carry["h"], x)[1])
            """,
            ["LinenGRUCell(in_features, self.width, ", "nnx.Linear(self.width, 2"],
            id="a function of two trees, one of them an argument",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, x):
                cell = nn.scan(nn.LSTMCell, variable_broadcast="params", split_rngs={"params": False})(self.width)
                return cell(cell.initialize_carry(jax.random.key(0), x[0].shape), x)[1]
            """,
            ["self.cell.initialize_carry(x[0].shape, nnx.Rngs(carry=jax.random.key(0)))"],
            id="the carry of a scanned cell",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, carry, x):
                carry = jnp.where(x[:, :1] > 0, self.initial(*carry.shape), carry)
                carry, y = nn.GRUCell(self.width)(carry, x)
                return carry, nn.Dense(2)(y)

            def initial(self, batch, width):
                return jnp.zeros((batch, width))
            """,
            ["self.initial(*carry.shape)", "nnx.Linear(self.width, 2"],
            id="an unpacked shape",
        ),
    ],
)
def test_cells_are_converted(tmp_path: Path, body: str, written: list[str]) -> None:
    refused, text = model(tmp_path, body)

    assert not refused
    for part in written:
        assert part in text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            """
            @nn.compact
            def __call__(self, x):
                carry = nn.GRUCell.initialize_carry(nn.GRUCell(self.width), jax.random.key(0), x.shape)
                return nn.GRUCell(self.width)(carry, x)[1]
            """,
            id="the method of the class, with a cell",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, x):
                init = nn.initializers.normal()
                carry = nn.GRUCell.initialize_carry(jax.random.key(0), (x.shape[0],), 4, init)
                return nn.GRUCell()(carry, x)[1]
            """,
            id="a random carry",
        ),
        pytest.param(
            """
            @nn.compact
            def __call__(self, carry, x):
                y = self.initial(*carry.shape)
                return nn.Dense(2)(y)

            def initial(self, batch, width=4):
                return jnp.zeros((batch, width))
            """,
            id="a shape that may be one size or two",
        ),
    ],
)
def test_what_may_be_another_carry_is_refused(tmp_path: Path, body: str) -> None:
    refused, _ = model(tmp_path, body)

    assert refused
