"""Trains the network on random images, and saves it."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization
from flax.training import train_state

from models import CNN


class TrainState(train_state.TrainState):
    batch_stats: Any


def create_state(key):
    model = CNN(num_classes=10)
    variables = model.init(key, jnp.ones((1, 28, 28, 1)), train=False)
    return TrainState.create(
        apply_fn=model.apply,
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        tx=optax.adam(1e-3),
    )


@jax.jit
def train_step(state, images, labels, key):
    def loss_fn(params):
        logits, updates = state.apply_fn(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, updates

    (loss, updates), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    return state.apply_gradients(grads=grads, batch_stats=updates["batch_stats"]), loss


def main(steps=10):
    rng = np.random.RandomState(0)
    images = jnp.asarray(rng.randn(16, 28, 28, 1).astype("float32"))
    labels = jnp.asarray(rng.randint(0, 10, 16))
    key = jax.random.PRNGKey(0)
    state = create_state(key)
    for step in range(steps):
        state, loss = train_step(state, images, labels, jax.random.fold_in(key, step))
        print(f"step {step}: loss {loss:.4f}")
    return state


if __name__ == "__main__":
    Path("trained.msgpack").write_bytes(serialization.to_bytes(main()))
