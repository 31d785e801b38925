"""Trained Linen states, and ways of looking at trees, for the tests."""

from typing import Any

import jax
import jax.numpy as jnp
import new_models
import numpy as np
import old_models
import optax
from flax import nnx, serialization, traverse_util
from flax.training import train_state

X = np.random.default_rng(0).standard_normal((4, 3), np.float32)
Y = np.random.default_rng(1).standard_normal((4, 2), np.float32)
IMAGES = np.random.default_rng(2).standard_normal((2, 6, 6, 3), np.float32)


class TrainState(train_state.TrainState):
    batch_stats: Any = None


def perturbed(tree, seed=0):
    """The same tree with noise on every float leaf: zeros and ones would hide a leaf in the wrong place."""
    random = np.random.default_rng(seed)

    def noisy(leaf):
        leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return leaf + random.uniform(0.1, 0.3, leaf.shape).astype(leaf.dtype)

    return jax.tree.map(noisy, tree)


def cnn_state(steps=2, dtype=jnp.float32):
    """A CNN with BatchNorm, trained for a few steps with Adam."""
    model = old_models.CNN(dtype)
    variables = perturbed(model.init(jax.random.key(0), IMAGES))
    state = TrainState.create(
        apply_fn=model.apply,
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        tx=optax.adam(1e-2),
    )
    for _ in range(steps):
        state = cnn_step(state)
    return state


def cnn_step(state):
    def loss(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        output, updated = state.apply_fn(variables, IMAGES, train=True, mutable=["batch_stats"])
        return (output**2).mean(), updated["batch_stats"]

    gradients, batch_stats = jax.grad(loss, has_aux=True)(state.params)
    return state.apply_gradients(grads=gradients, batch_stats=batch_stats)


def mlp_state(optimizer, steps=3, features=2, seed=0):
    """An MLP, trained for a few steps with an optimizer."""
    model = old_models.MLP(features)
    params = perturbed(model.init(jax.random.key(seed), X)["params"], seed)
    state = train_state.TrainState.create(apply_fn=model.apply, params=params, tx=optimizer)
    for _ in range(steps):
        state = mlp_step(state)
    return state


def mlp_step(state):
    def loss(params):
        return ((state.apply_fn({"params": params}, X) - Y) ** 2).mean()

    return state.apply_gradients(grads=jax.grad(loss)(state.params))


def nnx_step(model, optimizer):
    def loss(model):
        return ((model(X) - Y) ** 2).mean()

    optimizer.update(model, nnx.grad(loss)(model))


def flat(tree):
    """Leaves by "/"-joined path, as flax.serialization names them."""
    state = serialization.to_state_dict(tree)
    return {k: np.asarray(v) for k, v in traverse_util.flatten_dict(state, sep="/").items()}


def flat_nnx(node):
    """Leaves of an NNX object by "/"-joined path."""
    return {
        "/".join(map(str, path)): np.asarray(variable.get_value())
        for path, variable in nnx.to_flat_state(nnx.state(node))
        if hasattr(variable.get_value(), "shape")
        and not jnp.issubdtype(variable.get_value().dtype, jax.dtypes.prng_key)
    }


__all__ = ["new_models", "old_models"]
