"""Methods that initialise and apply their own module stay as they are, where no module with variables runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.sources.files import load_source

CODE = """
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.training.train_state import TrainState


class Net(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)

    def create(self, key, tx):
        params = self.init(key, jnp.ones((1, 2)))["params"]
        return TrainState.create(apply_fn=self.apply, params=params, tx=tx)

    def loss(self, params, x):
        return self.apply({"params": params}, x).sum()


net = Net()
variables = net.init(jax.random.key(0), jnp.ones((1, 2)))
grads = jax.grad(net.loss)(variables["params"], jnp.ones((1, 2)))
metrics = {"loss": net.loss(variables["params"], jnp.ones((1, 2)))}
"""
OTHER = """

class Outer(nn.Module):
    inner: nn.Module

    @nn.compact
    def __call__(self, params, x):
        return self.inner.loss(params, x)
"""
CHANGES = {
    "another module calls it": OTHER,
    "it is applied": 'y = net.apply(variables, {}, jnp.ones((1, 2)), method="loss")\n',
    "it is applied by its attribute": "y = net.apply(variables, {}, jnp.ones((1, 2)), method=net.loss)\n",
    "something is applied that no name shows": (
        "f = net.loss\ny = net.apply(variables, {}, jnp.ones((1, 2)), method=f)\n"
    ),
    "it is looked up": 'f = getattr(net, "loss")\n',
    "a module with variables runs it": "y = net.bind(variables).loss(variables['params'], jnp.ones((1, 2)))\n",
}


def moves(tmp_path: Path, code: str) -> bool:
    path = tmp_path / "train.py"
    path.write_text(code)
    groups = make_plan(Project([path], load_source), tmp_path)
    return all(group.can_move for group in groups)


def test_such_methods_move_with_their_class(tmp_path: Path) -> None:
    assert moves(tmp_path, CODE)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_they_hold_the_class_back_where_a_module_may_run_them(tmp_path: Path, change: str) -> None:
    assert not moves(tmp_path, CODE + change)


def test_the_methods_that_modules_run_hold_the_class_back(tmp_path: Path) -> None:
    assert not moves(tmp_path, CODE.replace("(self.width)(x)", "(self.width)(x) + self.loss({}, x)"))
