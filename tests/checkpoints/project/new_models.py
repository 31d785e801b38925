"""The project after the migration: NNX."""

import jax
import jax.numpy as jnp
import optax
from flax import linen, nnx


class CNN(nnx.Module):
    def __init__(self, dtype=jnp.float32, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), param_dtype=dtype, rngs=rngs)
        self.bn = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)])

    def __call__(self, x, train=False):
        x = nnx.relu(self.bn(self.conv(x), use_running_average=not train)).mean((1, 2))
        for layer in self.layers:
            x = layer(self.dropout(x, deterministic=True))
        return x


class MLP(nnx.Module):
    def __init__(self, features=2, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(3, 5, rngs=rngs)
        self.head = nnx.Linear(5, features, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.tanh(self.hidden(x)))


class Loop(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(3)])
        self.out = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = nnx.tanh(layer(x))
        return self.out(x)


class Tower(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def stacked(rngs):
            return nnx.Linear(4, 4, rngs=rngs)

        self.layers = stacked(rngs)
        self.out = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
        def run(layer, carry):
            return nnx.tanh(layer(carry))

        return self.out(run(self.layers, x))


class Recurrent(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(3, 4, rngs=rngs), rngs=rngs)
        self.dense = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.rnn(x))


class Partitioned(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(3, 3, rngs=rngs)


class SharedRngs(nnx.Module):
    """Dropout, attention and a kept Rngs: the places where NNX keeps PRNG state."""

    def __init__(self, rngs: nnx.Rngs):
        self.linear = nnx.Linear(3, 4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.value = nnx.Linear(4, 4, rngs=rngs)  # a module with the name of a variable's box
        self.rngs = rngs


class Wide(nnx.Module):
    """Twelve large layers under attributes of their own."""

    def __init__(self, *, rngs: nnx.Rngs):
        for i in range(12):
            setattr(self, f"layer{i}", nnx.Linear(2048, 2048, use_bias=False, rngs=rngs))


def cnn():
    return CNN(rngs=nnx.Rngs(0, dropout=1))


def cnn_and_optimizer():
    model = cnn()
    return model, nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)


def actor_critic():
    actor, critic = MLP(2, rngs=nnx.Rngs(0)), MLP(1, rngs=nnx.Rngs(1))
    return {"actor": actor, "critic": critic}


def actor_critic_states():
    actor, critic = MLP(2, rngs=nnx.Rngs(0)), MLP(1, rngs=nnx.Rngs(1))
    return {
        name: (model, nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param))
        for name, model in {"actor": actor, "critic": critic}.items()
    }


def matrices_only(params):
    """A mask that works on Linen's dicts and on NNX states alike."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def labels(params):
    return jax.tree.map(lambda leaf: "matrix" if leaf.ndim > 1 else "vector", params)


#: Every kind of optax state that the conversion has to understand.
OPTIMIZERS = {
    "sgd": lambda: optax.sgd(1e-2),
    "momentum": lambda: optax.sgd(1e-2, momentum=0.9),
    "adam": lambda: optax.adam(1e-2),
    "adam-bf16-moments": lambda: optax.adam(1e-2, mu_dtype=jnp.bfloat16),
    "adamw-schedule-mask": lambda: optax.adamw(optax.cosine_decay_schedule(1e-2, 100), mask=matrices_only),
    "clip-and-chain": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)),
    "inject-hyperparams": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=1e-2),
    "inject-schedule": lambda: optax.inject_hyperparams(optax.sgd)(
        learning_rate=optax.linear_schedule(1e-2, 1e-3, 10), momentum=0.9
    ),
    "multi-steps": lambda: optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2).gradient_transformation(),
    "multi-transform": lambda: optax.multi_transform(
        {"matrix": optax.adam(1e-2), "vector": optax.sgd(1e-2, momentum=0.9)}, labels
    ),
    "ema": lambda: optax.chain(optax.adam(1e-2), optax.ema(0.9)),
    "apply-if-finite": lambda: optax.apply_if_finite(optax.adam(1e-2), 3),
    "lion": lambda: optax.lion(1e-3),
    "adafactor": lambda: optax.adafactor(1e-2, min_dim_size_to_factor=2),
    "noisy": lambda: optax.chain(optax.add_noise(0.1, 0.5, 0), optax.sgd(1e-2)),
}
OPTIMIZER_NAMES = tuple(OPTIMIZERS)


def mlp_with(name):
    """An MLP and its optimizer."""
    model = MLP(rngs=nnx.Rngs(0))
    return model, nnx.Optimizer(model, OPTIMIZERS[name](), wrt=nnx.Param)


class Bridged(nnx.Module):
    """The MLP with its first layer still in Linen."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.hidden = nnx.bridge.ToNNX(linen.Dense(5), rngs=rngs)
        self.head = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.tanh(self.hidden(x)))


def initialised_bridge():
    return nnx.bridge.lazy_init(Bridged(rngs=nnx.Rngs(0)), jnp.ones((1, 3)))
