"""Recurrent cells of `flax.linen` that `flax.nnx` lacks or has with other parameters.

They can be used wherever NNX takes a cell, as in `nnx.RNN(cell)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

_lecun_normal = nnx.initializers.lecun_normal()
_orthogonal = nnx.initializers.orthogonal()


def per_gate(initializer: Callable[..., jax.Array], gates: int) -> Callable[..., jax.Array]:
    """An initializer for the kernels of several gates in one matrix (rows, gates * columns).

    Each gate's block is drawn on its own, as in Linen, where each gate has its own kernel. That matters for
    initializers that look at the shape (orthogonal, fan_out, fan_avg).
    """

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        block = (*shape[:-1], shape[-1] // gates)
        keys = jax.random.split(key, gates)
        return jnp.concatenate([initializer(gate_key, block, dtype) for gate_key in keys], axis=-1)

    return init


class _Cell(nnx.RNNCellBase):
    """What the cells with a carry of `hidden_features` have in common."""

    hidden_features: int
    param_dtype: Any
    carry_init: Any

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Any:
        """The carry before the first step, for inputs of shape (*batch, features)."""
        shape = (*input_shape[:-1], self.hidden_features)
        return (carry_init or self.carry_init)(_carry_key(rngs), shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: inputs are (*batch, features)."""
        return 1


def _carry_key(rngs: Any) -> jax.Array:
    """The next key for a carry from an `nnx.Rngs` or a stream; any key where none are given."""
    if rngs is None:
        return jax.random.key(0)
    return rngs.carry() if isinstance(rngs, nnx.Rngs) else rngs()


class LinenGRUCell(_Cell):
    """Gated recurrent unit with Linen's parameters: one dense layer per gate, and a bias in `hn`.

    `nnx.GRUCell` has no place for that bias: it can't hold the parameters of a trained Linen cell.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Callable[..., Any] = nnx.sigmoid,
        activation_fn: Callable[..., Any] = nnx.tanh,
        kernel_init: Any = _lecun_normal,
        recurrent_kernel_init: Any = _orthogonal,
        bias_init: Any = nnx.initializers.zeros,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        carry_init: Any = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.gate_fn = gate_fn
        self.activation_fn = activation_fn
        self.param_dtype = param_dtype
        self.carry_init = carry_init
        dense = partial(nnx.Linear, bias_init=bias_init, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        from_input = partial(dense, in_features, hidden_features, kernel_init=kernel_init)
        from_hidden = partial(dense, hidden_features, hidden_features, kernel_init=recurrent_kernel_init)
        self.ir = from_input()
        self.iz = from_input()
        self.in_ = from_input()
        self.hr = from_hidden(use_bias=False)
        self.hz = from_hidden(use_bias=False)
        self.hn = from_hidden()

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step: the new carry, twice."""
        reset = self.gate_fn(self.ir(inputs) + self.hr(carry))
        update = self.gate_fn(self.iz(inputs) + self.hz(carry))
        new = self.activation_fn(self.in_(inputs) + reset * self.hn(carry))
        carry = (1.0 - update) * new + update * carry
        return carry, carry


class MGUCell(_Cell):
    """Minimal gated unit with Linen's parameters."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Callable[..., Any] = nnx.sigmoid,
        activation_fn: Callable[..., Any] = nnx.tanh,
        kernel_init: Any = _lecun_normal,
        recurrent_kernel_init: Any = _orthogonal,
        forget_bias_init: Any = nnx.initializers.ones,
        activation_bias_init: Any = nnx.initializers.zeros,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        carry_init: Any = nnx.initializers.zeros,
        reset_gate: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.gate_fn = gate_fn
        self.activation_fn = activation_fn
        self.param_dtype = param_dtype
        self.carry_init = carry_init
        self.reset_gate = reset_gate
        dense = partial(nnx.Linear, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        from_input = partial(dense, in_features, hidden_features, kernel_init=kernel_init)
        from_hidden = partial(dense, hidden_features, hidden_features, kernel_init=recurrent_kernel_init)
        self.if_ = from_input(bias_init=forget_bias_init)
        self.in_ = from_input(bias_init=activation_bias_init)
        self.hf = from_hidden(use_bias=False)
        self.hn = from_hidden(use_bias=reset_gate, bias_init=activation_bias_init)

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step: the new carry, twice."""
        forget = self.gate_fn(self.if_(inputs) + self.hf(carry))
        hidden = self.hn(carry)
        if self.reset_gate:
            hidden = hidden * forget
        new = self.activation_fn(self.in_(inputs) + hidden)
        carry = (1.0 - forget) * new + forget * carry
        return carry, carry


class ConvLSTMCell(_Cell):
    """Convolutional LSTM with Linen's parameters; inputs are (*batch, *spatial, features)."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        kernel_size: Sequence[int],
        *,
        strides: int | Sequence[int] | None = None,
        padding: Any = "SAME",
        use_bias: bool = True,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        carry_init: Any = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.kernel_size = tuple(kernel_size)
        self.param_dtype = param_dtype
        self.carry_init = carry_init
        conv = partial(
            nnx.Conv,
            out_features=4 * hidden_features,
            kernel_size=self.kernel_size,
            strides=strides,
            padding=padding,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.ih = conv(in_features)
        self.hh = conv(hidden_features)

    def __call__(
        self, carry: tuple[jax.Array, jax.Array], inputs: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """One step: the new (cell, hidden) pair and the hidden state."""
        cell, hidden = carry
        i, g, f, o = jnp.split(self.ih(inputs) + self.hh(hidden), 4, axis=-1)
        cell = nnx.sigmoid(f + 1) * cell + nnx.sigmoid(i) * jnp.tanh(g)
        hidden = nnx.sigmoid(o) * jnp.tanh(cell)
        return (cell, hidden), hidden

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None
    ) -> tuple[jax.Array, jax.Array]:
        """The (cell, hidden) pair before the first step, for inputs of shape (*batch, *spatial, features)."""
        cell = super().initialize_carry(input_shape, rngs, carry_init)
        return cell, super().initialize_carry(input_shape, rngs, carry_init)

    @property
    def num_feature_axes(self) -> int:
        """The spatial axes and the features."""
        return len(self.kernel_size) + 1
