"""Training programs as text, and changes to them that don't matter to the idiomatic form."""

from __future__ import annotations

import pytest

PROGRAM = """\
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(8)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(2)(x)


def create_train_state(key, learning_rate):
    model = MLP()
    params = model.init(key, jnp.ones((1, 4)))["params"]
    tx = optax.adam(learning_rate)
    return train_state.TrainState.create(apply_fn=model.apply, params=params, tx=tx)


@jax.jit
def train_step(state, batch, key):
    def loss_fn(params):
        logits = state.apply_fn({"params": params}, batch["x"], train=True, rngs={"dropout": key})
        return ((logits - batch["y"]) ** 2).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    state = state.apply_gradients(grads=grads)
    return state, loss


@jax.jit
def eval_step(state, batch):
    return state.apply_fn({"params": state.params}, batch["x"])


def train(batches, key):
    state = create_train_state(key, 1e-3)
    for batch in batches:
        state, loss = train_step(state, batch, key)
        print(loss)
    return eval_step(state, batches[0])
"""


def changed(*changes: tuple[str, str]) -> str:
    """The program with pieces replaced."""
    text = PROGRAM
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


STEP = "    state = state.apply_gradients(grads=grads)\n    return state, loss\n"
LOOP = "        state, loss = train_step(state, batch, key)\n"
APPLY = '{"params": params}, batch["x"], train=True, rngs={"dropout": key}'

USUAL = [
    pytest.param([], id="usual"),
    pytest.param([(STEP, "    return state.apply_gradients(grads=grads), loss\n")], id="returned-at-once"),
    pytest.param(
        [(STEP, "    new_state = state.apply_gradients(grads=grads)\n    return new_state, loss\n")],
        id="new-name",
    ),
    pytest.param([(LOOP, "        state, loss = train_step(state=state, key=key, batch=batch)\n")], id="keywords"),
    pytest.param(
        [("jax.value_and_grad(loss_fn)(state.params)", "jax.value_and_grad(lambda p: loss_fn(p))(state.params)")],
        id="lambda",
    ),
    pytest.param(
        [("@jax.jit\ndef eval_step", "def eval_step"), (LOOP, LOOP + "        print(eval_step(state, batch))\n")],
        id="evaluated-on-the-way",
    ),
    pytest.param(
        [("    print(loss)\n", "    print(loss)\n        if loss < 0.1:\n            return eval_step(state, batch)\n")],
        id="early-stop",
    ),
    pytest.param(
        [("    params = model.init", "    model.init\n    variables = model.init"), (')["params"]\n', ")\n"),
         ("params=params, tx", 'params=variables["params"], tx'), ("    model.init\n", "")],
        id="variables",
    ),
    pytest.param(
        [("params=params, tx", 'params=params["params"], tx'), (')["params"]\n', ")\n")], id="named-params"
    ),
    pytest.param(
        [(')["params"]\n', ")\n"), (APPLY, APPLY.replace('{"params": params}', "params")),
         ('{"params": state.params}', "state.params")],
        id="all-variables-as-parameters",
    ),
]  # fmt: skip

STATISTICS = changed(
    ("        x = nn.Dropout(0.5, deterministic=not train)(x)", "        x = nn.BatchNorm(use_running_average=not train)(x)"),
    ("from flax.training import train_state\n", "from flax.training import train_state\n\n\nclass State(train_state.TrainState):\n    stats: dict\n"),
    ('    params = model.init(key, jnp.ones((1, 4)))["params"]', "    variables = model.init(key, jnp.ones((1, 4)))"),
    ("train_state.TrainState.create(apply_fn=model.apply, params=params, tx=tx)",
     'State.create(apply_fn=model.apply, params=variables["params"], tx=tx, stats=variables["batch_stats"])'),
    ("logits = state.apply_fn(" + APPLY, 'logits, updates = state.apply_fn({"params": params, "batch_stats": state.stats}, batch["x"], train=True, mutable=["batch_stats"]'),
    ("return ((logits - batch[\"y\"]) ** 2).mean()", "return ((logits - batch[\"y\"]) ** 2).mean(), updates"),
    ("    loss, grads = jax.value_and_grad(loss_fn)", "    (loss, updates), grads = jax.value_and_grad(loss_fn, has_aux=True)"),
    ("apply_gradients(grads=grads)", 'apply_gradients(grads=grads, stats=updates["batch_stats"])'),
    ('{"params": state.params}', '{"params": state.params, "batch_stats": state.stats}'),
)  # fmt: skip

OPTAX = """\
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(8)(x)))


tx = optax.adam(1e-3)


def train(batches, key):
    model = MLP()
    params = model.init(key, jnp.ones((1, 4)))["params"]
    opt_state = tx.init(params)

    def loss_fn(params, x):
        return (model.apply({"params": params}, x) ** 2).mean()

    @jax.jit
    def step(params, opt_state, x):
        loss, grads = jax.value_and_grad(loss_fn)(params, x)
        updates, opt_state = tx.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        return params, opt_state, loss

    for x in batches:
        params, opt_state, loss = step(params, opt_state, x)
        print(loss)
    return model.apply({"params": params}, batches[0])
"""
