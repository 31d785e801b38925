"""The project before the migration: Linen."""

import flax.linen as nn
import jax.numpy as jnp


class CNN(nn.Module):
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), param_dtype=self.dtype)(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.relu(x).mean((1, 2))
        for features in (8, 3):
            x = nn.Dense(features)(nn.Dropout(0.1, deterministic=True)(x))
        return x


class MLP(nn.Module):
    features: int = 2

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Dense(5)(x))
        return nn.Dense(self.features, name="head")(x)


class Block(nn.Module):
    @nn.compact
    def __call__(self, carry, _):
        return nn.tanh(nn.Dense(4)(carry)), None


class Tower(nn.Module):
    """Layers that nn.scan stacks into one leaf each."""

    @nn.compact
    def __call__(self, x):
        layers = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = layers(name="layers")(x, None)
        return nn.Dense(2)(x)


class Loop(nn.Module):
    """The same network with layers of its own."""

    @nn.compact
    def __call__(self, x):
        for i in range(3):
            x = nn.tanh(nn.Dense(4, name=f"layer_{i}")(x))
        return nn.Dense(2)(x)


class Recurrent(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.RNN(nn.OptimizedLSTMCell(4), name="rnn")(x))


class Partitioned(nn.Module):
    @nn.compact
    def __call__(self, x):
        kernel = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", "out"))
        return nn.Dense(3, kernel_init=kernel)(x)
