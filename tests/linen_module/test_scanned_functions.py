"""Functions that `nn.scan` runs with a module: what more than shared parameters they would need is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    width: int = 4

    def setup(self):
        self.cell = nn.GRUCell(self.width)
        self.norm = {norm}

    def __call__(self, carry, x):
        def step(mdl, carry, x):
            carry, y = mdl.cell(carry, x)
            return carry, {result}

        scan = nn.scan(step, {options})
        return scan({called})
"""
SHARED = "variable_broadcast='params', split_rngs={'params': False}"
PLAIN = {
    "norm": "nn.LayerNorm()",
    "result": "mdl.norm(y)",
    "options": SHARED,
    "called": "self, carry, x",
}


def _model(tmp_path: Path, **changes: str) -> tuple[str, dict[str, str]]:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(**(PLAIN | changes)))
    text, conversions = convert(path)
    return text, {name: refusal.reason for name, refusal in conversions.refused.items()}


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (SHARED, "in_axes=(None, nnx.Carry, 0), out_axes=(nnx.Carry, 0)"),
        (f"{SHARED}, in_axes=1, unroll=2", "in_axes=(None, nnx.Carry, 1), out_axes=(nnx.Carry, 0), unroll=2"),
        (f"{SHARED}, out_axes=1", "in_axes=(None, nnx.Carry, 0), out_axes=(nnx.Carry, 1)"),
    ],
)
def test_shared_parameters(tmp_path: Path, options: str, written: str) -> None:
    text, refused = _model(tmp_path, options=options)
    assert refused == {}
    assert f"step, {written}" in " ".join(text.split())


@pytest.mark.parametrize(
    "changes",
    [
        {"options": "variable_axes={'params': 0}, split_rngs={'params': True}, length=3"},
        {"options": "variable_broadcast='params', split_rngs={'params': False, 'dropout': True}"},
        {"options": f"{SHARED}, variable_carry='batch_stats'"},
        {"options": f"{SHARED}, variable_axes={{'cache': 0}}"},
        {"options": f"{SHARED}, in_axes=nn.broadcast, length=3"},
        {"result": "nn.Dense(2)(y)"},
        {"result": "mdl.param('scale', nn.initializers.ones, (4,)) * y"},
        {"result": "jax.random.normal(mdl.make_rng('noise'), y.shape)"},
        {"norm": "nn.BatchNorm(use_running_average=False)"},
        {"norm": "nn.Dropout(0.5, deterministic=False)"},
        {"called": "self, carry, x=x"},
        {"called": "self, *jax.tree.leaves((carry, x))"},
        {"called": "x, carry, x"},
    ],
)
def test_more_than_that(tmp_path: Path, changes: dict[str, str]) -> None:
    _, refused = _model(tmp_path, **changes)
    assert list(refused) == ["model.Model"]


HANDED = """\
import flax.linen as nn
import jax


class Own(nn.RNNCellBase):
    features: int = 3
    num_feature_axes: int = 1

    @nn.compact
    def __call__(self, carry, x):
        carry = nn.Dense(self.features)(carry) + nn.Dense(self.features)(x)
        return carry, {result}

    def initialize_carry(self, key, shape):
        return jax.numpy.zeros((*shape[:-1], self.features))


class Wrapper(nn.Module):
    cell: nn.RNNCellBase

    def __call__(self, x):
        carry = self.cell.initialize_carry(jax.random.key(0), x[0].shape)
        step = lambda cell, carry, x: cell(carry, x)
        return nn.scan(step, variable_broadcast="params", split_rngs={{"params": False}})(self.cell, carry, x)[1]


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        for cell in [{cells}]:
            x = Wrapper(cell)(x)
        return x
"""


@pytest.mark.parametrize(
    ("cells", "result", "written"),
    [
        (
            "nn.GRUCell(3)",
            "carry",
            "self.cell.initialize_carry(x[0].shape, nnx.Rngs(carry=jax.random.key(0)))",
        ),
        ("Own()", "carry", "self.cell.initialize_carry(jax.random.key(0), x[0].shape)"),
        ("nn.GRUCell(3), Own()", "carry", ""),
        ("Own()", "nn.BatchNorm(use_running_average=False)(carry)", ""),
    ],
)
def test_cells_that_are_handed_in(tmp_path: Path, cells: str, result: str, written: str) -> None:
    path = tmp_path / "model.py"
    code = HANDED.replace("for cell in [{cells}]:\n            x = Wrapper(cell)(x)", "{calls}")
    calls = "\n        ".join(f"x = Wrapper({cell.strip()})(x)" for cell in cells.split(", "))
    path.write_text(code.format(calls=calls, result=result))
    text, conversions = convert(path)
    if written:
        assert conversions.refused == {}
        assert written in text
    else:
        assert "model.Wrapper" in conversions.refused
