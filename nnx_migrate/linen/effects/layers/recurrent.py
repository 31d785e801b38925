"""Recurrent cells, and the layers that run them over a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nnx_migrate.linen.arrays.shapes import (
    BEYOND,
    NO_RANK,
    Array,
    Shape,
    Unknown,
    Unmodelled,
    Value,
    broadcast,
)
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.effects.arguments import array_of, bool_of, dim_of, dims_of, unmodelled
from nnx_migrate.linen.effects.joining import joined
from nnx_migrate.linen.effects.layers.base import (
    FLOAT32,
    Applied,
    Layer,
    guarded_output,
    last_dim,
    layer_dtype,
    models_layer,
)
from nnx_migrate.linen.effects.layers.convolution import Conv
from nnx_migrate.linen.effects.registry import models


class Cell(Layer):
    """What recurrent cells have in common: a carry that is one array, or a pair for the LSTMs."""

    methods: ClassVar[Mapping[str, str]] = {"__call__": "call", "initialize_carry": "initialize_carry"}
    carries: ClassVar[int] = 1
    features: Value
    dtype: Value
    param_dtype: Value

    def feature_axes(self) -> int:
        """How many of the last axes belong to one step."""
        return 1

    def call(self, carry: Value, inputs: Value) -> Applied:
        """The new carry and the output. Sizes: in_features, hidden_features."""
        parts = self._parts(carry)
        hidden = self._hidden(parts[-1])
        sizes: dict[str, Value] = {"in_features": last_dim(inputs), "hidden_features": hidden}
        dtype = layer_dtype(self.dtype, self.param_dtype, inputs, *parts)

        def output() -> Value:
            step = array_of(inputs).shape.before(1).then(hidden)
            carried = [
                p.shape.before(1).then(hidden) if isinstance(p, Array) else Shape((hidden,), "")
                for p in parts
            ]
            new = Array(broadcast(step, *carried), dtype)
            return ((new, new) if self.carries == 2 else new), new

        return Applied(guarded_output(output), sizes)

    def _hidden(self, carry: Value) -> Dim:
        """The size of the carry. A cell computes with any, its own `features` are for `initialize_carry`; but a cell
        that gets another carry than its own has no counterpart in NNX, so where both might differ they don't.
        """
        known = last_dim(carry)
        own = dim_of(self.features, "features") if self.features is not None else known
        if BEYOND in (own.reason or ""):
            return own
        return known if same(known, own) is False or (known.known and not own.known) else own

    def _parts(self, carry: Value) -> tuple[Value, ...]:
        if self.carries == 1:
            return (carry,)
        if isinstance(carry, tuple | list) and len(carry) == 2:
            return tuple(carry)
        reason = carry.reason if isinstance(carry, Unknown) else "the carry is not a known pair"
        return (Unknown(reason), Unknown(reason))

    def initialize_carry(
        self, rng: Value, input_shape: Value, size: Value = None, init_fn: Value = None
    ) -> Applied:
        """The carry for inputs of a given shape. (In older releases: for `batch_dims`, with its own `size`.)"""
        shape = input_shape if isinstance(input_shape, Shape) else Shape(dims_of(input_shape, "input_shape"))
        if (self.features is None) is not (size is not None):
            raise Unmodelled("a carry whose size isn't given where this release has it")
        hidden = dim_of(self.features, "features") if size is None else dim_of(size, "size")
        carry = Array((shape.before(1) if size is None else shape).then(hidden), "float")
        return Applied((carry, carry) if self.carries == 2 else carry)


@models_layer("flax.linen.GRUCell")
@dataclass(frozen=True)
class GRUCell(Cell):
    """GRU. (In older releases, cells have no `features`.)"""

    features: Value = None
    gate_fn: Value = None
    activation_fn: Value = None
    kernel_init: Value = None
    recurrent_kernel_init: Value = None
    bias_init: Value = None
    dtype: Value = None
    param_dtype: Value = FLOAT32
    carry_init: Value = None


@models_layer("flax.linen.LSTMCell", "flax.linen.OptimizedLSTMCell")
@dataclass(frozen=True)
class LSTMCell(Cell):
    """LSTM."""

    carries: ClassVar[int] = 2
    features: Value = None
    gate_fn: Value = None
    activation_fn: Value = None
    kernel_init: Value = None
    recurrent_kernel_init: Value = None
    bias_init: Value = None
    dtype: Value = None
    param_dtype: Value = FLOAT32
    carry_init: Value = None


@models_layer("flax.linen.SimpleCell")
@dataclass(frozen=True)
class SimpleCell(Cell):
    """The plain recurrent cell."""

    features: Value = None
    activation_fn: Value = None
    kernel_init: Value = None
    recurrent_kernel_init: Value = None
    bias_init: Value = None
    dtype: Value = None
    param_dtype: Value = FLOAT32
    carry_init: Value = None
    residual: Value = False


@models_layer("flax.linen.MGUCell")
@dataclass(frozen=True)
class MGUCell(Cell):
    """The minimal gated unit."""

    features: Value = None
    gate_fn: Value = None
    activation_fn: Value = None
    kernel_init: Value = None
    recurrent_kernel_init: Value = None
    forget_bias_init: Value = None
    activation_bias_init: Value = None
    dtype: Value = None
    param_dtype: Value = FLOAT32
    carry_init: Value = None
    reset_gate: Value = True


@models_layer("flax.linen.ConvLSTMCell")
@dataclass(frozen=True)
class ConvLSTMCell(Cell):
    """LSTM with convolutions in place of linear maps."""

    carries: ClassVar[int] = 2
    features: Value
    kernel_size: Value
    strides: Value = None
    padding: Value = "SAME"
    use_bias: Value = True
    dtype: Value = None
    param_dtype: Value = FLOAT32
    carry_init: Value = None

    def feature_axes(self) -> int:
        """The spatial axes and the channels."""
        return len(dims_of(self.kernel_size, "kernel_size")) + 1

    def call(self, carry: Value, inputs: Value) -> Applied:
        """The new carry and the output. Sizes: in_features."""

        def output() -> Value:
            gates = Conv(self.features, self.kernel_size, self.strides, self.padding)
            parts = []
            for value in (inputs, self._parts(carry)[-1]):
                part = gates.apply("__call__", array_of(value)).output
                parts.append(array_of(part).shape)
            cell_state = array_of(self._parts(carry)[0]).shape
            new = Array(broadcast(*parts, cell_state), layer_dtype(self.dtype, self.param_dtype, inputs))
            return (new, new), new

        return Applied(guarded_output(output), {"in_features": last_dim(inputs)})


# ---- the initial carry in older releases -------------------------------------------------------------------


@models("flax.linen.GRUCell.initialize_carry")
def one_carry(rng: Value, batch_dims: Value, size: Value, init_fn: Value = None) -> Value:
    """`nn.GRUCell.initialize_carry(key, batch_dims, size)`, which needed no cell."""
    return GRUCell().initialize_carry(rng, batch_dims, size).output


@models("flax.linen.LSTMCell.initialize_carry", "flax.linen.OptimizedLSTMCell.initialize_carry")
def pair_of_carries(rng: Value, batch_dims: Value, size: Value, init_fn: Value = None) -> Value:
    """The same for the cells whose carry is a pair."""
    return LSTMCell().initialize_carry(rng, batch_dims, size).output


# ---- over sequences ----------------------------------------------------------------------------------------


def _flag(given: Value, default: Value, what: str) -> bool:
    return bool_of(default if given is None else given, what)


@models_layer("flax.linen.RNN")
@dataclass(frozen=True)
class RNN(Layer):
    """A cell applied to every step of a sequence; `cell` is a bound `Layer`."""

    cell: Value
    time_major: Value = False
    return_carry: Value = False
    reverse: Value = False
    keep_order: Value = False
    unroll: Value = 1
    variable_axes: Value = None
    variable_broadcast: Value = "params"
    variable_carry: Value = False
    split_rngs: Value = None

    def call(
        self,
        inputs: Value,
        *,
        initial_carry: Value = None,
        init_key: Value = None,
        seq_lengths: Value = None,
        return_carry: Value = None,
        time_major: Value = None,
        reverse: Value = None,
        keep_order: Value = None,
    ) -> Applied:
        """The outputs of all steps, with the last carry in front if asked for. Sizes: those of the cell."""
        if not isinstance(self.cell, Cell):
            raise unmodelled(self.cell, "the cell is not a known recurrent cell")
        array = array_of(inputs)
        axis = self._time_axis(array.shape, time_major)
        step = array.with_shape(array.shape.without([axis]))
        carry = initial_carry
        if carry is None:
            carry = self.cell.apply("initialize_carry", None, step.shape).output
        applied = self.cell.apply("__call__", carry, step)
        sizes: dict[str, Value] = {"cell": applied.sizes}

        def output() -> Value:
            if not isinstance(applied.output, tuple):
                raise unmodelled(applied.output, "the cell's output is not known")
            # A scan keeps the type of its carry.
            last, made = applied.output
            behind = -axis - 1
            time = array.shape.dim(axis)
            result = made.with_shape(made.shape.before(behind).then(time, *made.shape.last(behind)))
            returns_carry = _flag(return_carry, self.return_carry, "return_carry")
            return (last, result) if returns_carry else result

        return Applied(guarded_output(output), sizes)

    def _time_axis(self, shape: Shape, time_major: Value) -> int:
        assert isinstance(self.cell, Cell)
        if not _flag(time_major, self.time_major, "time_major"):
            return -self.cell.feature_axes() - 1
        if not shape.exact:
            raise Unmodelled(NO_RANK)
        return -len(shape.dims)


def _pair(output: Value) -> tuple[Value, Value]:
    if not isinstance(output, tuple):
        raise unmodelled(output, "the output of an RNN is not known")
    return output[0], output[1]


@models_layer("flax.linen.Bidirectional")
@dataclass(frozen=True)
class Bidirectional(Layer):
    """Two RNNs in both directions, by default with their outputs concatenated."""

    forward_rnn: Value
    backward_rnn: Value
    merge_fn: Value = None
    time_major: Value = False
    return_carry: Value = False

    def call(
        self,
        inputs: Value,
        *,
        initial_carry: Value = None,
        init_key: Value = None,
        seq_lengths: Value = None,
        return_carry: Value = None,
        time_major: Value = None,
        reverse: Value = None,
        keep_order: Value = None,
    ) -> Applied:
        """The merged outputs, with both carries in front if asked for. Sizes: those of both."""
        if not isinstance(self.forward_rnn, Layer) or not isinstance(self.backward_rnn, Layer):
            raise Unmodelled("the RNNs of a Bidirectional are not known")
        carries = initial_carry if isinstance(initial_carry, tuple | list) else (initial_carry, initial_carry)
        if len(carries) != 2 or not (initial_carry is None or isinstance(initial_carry, tuple | list)):
            raise unmodelled(initial_carry, "the carry is not a known pair")
        major = self.time_major if time_major is None else time_major
        both = [
            rnn.apply("__call__", inputs, initial_carry=carry, time_major=major, return_carry=True)
            for rnn, carry in zip((self.forward_rnn, self.backward_rnn), carries, strict=True)
        ]
        sizes: dict[str, Value] = {"forward_rnn": both[0].sizes, "backward_rnn": both[1].sizes}

        def output() -> Value:
            pairs = [_pair(part.output) for part in both]
            if self.merge_fn is not None:
                raise Unmodelled("a Bidirectional with its own merge_fn")
            merged = joined([array_of(pair[1]) for pair in pairs], -1)
            if _flag(return_carry, self.return_carry, "return_carry"):
                return (pairs[0][0], pairs[1][0]), merged
            return merged

        return Applied(guarded_output(output), sizes)
