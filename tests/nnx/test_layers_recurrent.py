"""Recurrent cells, RNN, Bidirectional: generated NNX code against Linen, bit for bit.

Gradients through `nnx.RNN` may differ in the last bits: Linen broadcasts parameters to the steps of its scan,
NNX carries them, so the contributions of the steps are added in another order.
"""

import ast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnx_migrate.nnx.layers import LAYERS, Refusal, bind, write_detached_carry
from tests.nnx.harness import array, check, helpers

BF16 = jnp.bfloat16
X = array(2, 5)
H = array(2, 4, seed=1)
PAIR = (array(2, 4, seed=2), array(2, 4, seed=3))
GATES = "recurrent_kernel_init=per_gate(nnx.initializers.orthogonal(), 4)"


@pytest.mark.parametrize(
    ("layer", "carry", "expect"),
    [
        ("nn.LSTMCell(4)", PAIR, "nnx.LSTMCell(5, 4, rngs=rngs)"),
        (
            "nn.LSTMCell(features=4, gate_fn=nn.hard_sigmoid, activation_fn=jnp.sin, dtype=jnp.bfloat16)",
            PAIR,
            "nnx.LSTMCell(5, 4, gate_fn=nnx.hard_sigmoid, activation_fn=jnp.sin, dtype=jnp.bfloat16, "
            "rngs=rngs)",
        ),
        ("nn.OptimizedLSTMCell(4)", PAIR, f"nnx.OptimizedLSTMCell(5, 4, {GATES}, rngs=rngs)"),
        (
            "nn.OptimizedLSTMCell(4, dtype=dtype, kernel_init=nn.initializers.glorot_uniform())",
            PAIR,
            "nnx.OptimizedLSTMCell(5, 4, dtype=dtype, "
            "kernel_init=per_gate(nnx.initializers.glorot_uniform(), 4), "
            f"{GATES}, rngs=rngs)",
        ),
        ("nn.GRUCell(4)", H, "LinenGRUCell(5, 4, rngs=rngs)"),
        (
            "nn.GRUCell(4, nn.sigmoid, jnp.sin, dtype=dtype, carry_init=nn.initializers.zeros_init())",
            H,
            "LinenGRUCell(5, 4, gate_fn=nnx.sigmoid, activation_fn=jnp.sin, dtype=dtype, "
            "carry_init=nnx.initializers.zeros_init(), rngs=rngs)",
        ),
        ("nn.MGUCell(4)", H, "MGUCell(5, 4, rngs=rngs)"),
        (
            "nn.MGUCell(4, reset_gate=False, param_dtype=jnp.float16)",
            H,
            "MGUCell(5, 4, reset_gate=False, param_dtype=jnp.float16, rngs=rngs)",
        ),
        ("nn.SimpleCell(4)", H, "nnx.SimpleCell(5, 4, dtype=None, rngs=rngs)"),
        (
            "nn.SimpleCell(4, residual=True, dtype=dtype)",
            H,
            "nnx.SimpleCell(5, 4, residual=True, dtype=dtype, rngs=rngs)",
        ),
    ],
)
@pytest.mark.parametrize("input_dtype", [jnp.float32, BF16])
def test_cell(layer, carry, expect, input_dtype):
    inputs, carry = jax.tree.map(lambda leaf: leaf.astype(input_dtype), (X, carry))
    in_float32 = input_dtype is jnp.float32
    check(layer, "layer(carry, x)", x=inputs, carry=carry, dtype=BF16, grads=in_float32, expect=expect)


@pytest.mark.parametrize("name", ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell", "MGUCell"])
def test_cells_in_bfloat16_throughout(name):
    """Parameters, carry and inputs in bfloat16, no dtype given: SimpleCell must not take float32."""
    carry, inputs = jax.tree.map(lambda leaf: leaf.astype(BF16), (PAIR if "LSTM" in name else H, X))
    check(f"nn.{name}(4, param_dtype=jnp.bfloat16)", "layer(carry, x)", x=inputs, carry=carry)


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        ("nn.ConvLSTMCell(2, (3, 3))", "ConvLSTMCell(3, 2, (3, 3), rngs=rngs)"),
        (
            "nn.ConvLSTMCell(features=2, kernel_size=[3, 3], use_bias=False, dtype=jnp.bfloat16)",
            "ConvLSTMCell(3, 2, kernel_size=(3, 3), use_bias=False, dtype=jnp.bfloat16, rngs=rngs)",
        ),
    ],
)
def test_conv_lstm(layer, expect):
    carry = (array(2, 4, 5, 2, seed=1), array(2, 4, 5, 2, seed=2))
    check(layer, "layer(carry, x)", x=array(2, 4, 5, 3), carry=carry, grads=False, expect=expect)


@pytest.mark.parametrize("name", ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell", "MGUCell"])
@pytest.mark.parametrize(
    "carry",
    [
        "layer.initialize_carry(key, x.shape)",
        "layer.initialize_carry(rng=key, input_shape=(2, 5))",
        "layer.initialize_carry(key, input_shape=(*x.shape[:-1], 5))",
    ],
)
def test_initial_carry(name, carry):
    check(f"nn.{name}(4)", f"layer({carry}, x)", x=X, key=jax.random.PRNGKey(0), grads=False)


def test_initial_carry_of_a_convolutional_cell():
    call = "layer(layer.initialize_carry(key, x.shape), x)"
    check("nn.ConvLSTMCell(2, (3,))", call, x=array(2, 4, 3), key=jax.random.key(0), grads=False)


@pytest.mark.parametrize(
    ("cell", "shape", "text"),
    [
        ("nn.GRUCell(features=size)", "(batch, size)", "jnp.zeros((batch, size))"),
        ("nn.LSTMCell(4)", "x.shape", "(jnp.zeros((*x.shape[:-1], 4)), jnp.zeros((*x.shape[:-1], 4)))"),
        ("nn.SimpleCell(size, parent=None)", "(5,)", "jnp.zeros((size,))"),
        (
            "nn.GRUCell(4, param_dtype=jnp.bfloat16)",
            "(3,) + (5,)",
            "jnp.zeros((3, 4), jnp.bfloat16)",
        ),
        ("nn.GRUCell(4)", "x.shape[:-1] + (5,)", "jnp.zeros((*x.shape[:-1], 4))"),
        ("nn.GRUCell(4)", "(batch, *x.shape[1:])", "jnp.zeros((*((batch, *x.shape[1:]))[:-1], 4))"),
    ],
)
def test_the_carry_of_a_cell_that_is_built_only_for_it(cell, shape, text):
    names = {"nn": nn, "jnp": jnp, "jax": jax, "size": 4, "batch": 3, "x": X}
    source = f"{cell}.initialize_carry(jax.random.key(0), {shape})"
    call = ast.parse(source, mode="eval").body
    spec = LAYERS["flax.linen." + cell[3 : cell.index("(")]]
    bound = bind(spec, call.func.value)
    written = write_detached_carry(spec, bound, call, lambda n: ast.get_source_segment(source, n), jnp="jnp")
    assert written == text
    expected, found = eval(source, names), eval(written, names)
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert not np.asarray(b).any()


@pytest.mark.parametrize(
    "carry_init", ["nn.initializers.normal()", "make_carry", "nn.initializers.uniform(scale=1.0)"]
)
def test_random_carries_are_refused(carry_init):
    from tests.nnx.harness import RefusedError

    with pytest.raises(RefusedError) as error:
        check(
            f"nn.GRUCell(4, carry_init={carry_init})",
            "layer(carry, x)",
            x=X,
            carry=H,
            make_carry=nn.initializers.zeros,
        )
    assert error.value.refusal.code == "no-counterpart"


TIME = array(2, 3, 5)
LENGTHS = jnp.array([1, 3])


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        ("nn.RNN(nn.OptimizedLSTMCell(4))", "layer(x)"),
        ("nn.RNN(cell=nn.LSTMCell(4), return_carry=True)", "layer(x, seq_lengths=lengths)"),
        ("nn.RNN(nn.GRUCell(4), reverse=True, keep_order=True)", "layer(x)"),
        ("nn.RNN(nn.GRUCell(4), True)", "layer(x.swapaxes(0, 1))"),
        ("nn.RNN(nn.SimpleCell(4), unroll=3)", "layer(x, initial_carry=h, return_carry=True)"),
        ("nn.RNN(nn.MGUCell(4), variable_broadcast='params')", "layer(x, init_key=key, reverse=True)"),
        ("nn.RNN(nn.GRUCell(4), split_rngs={'params': False})", "layer(x, init_key=None)"),
        ("nn.Bidirectional(nn.RNN(nn.SimpleCell(4)), nn.RNN(nn.SimpleCell(4)))", "layer(x)"),
        (
            "nn.Bidirectional(forward_rnn=nn.RNN(nn.GRUCell(4)), backward_rnn=nn.RNN(nn.GRUCell(4)), "
            "merge_fn=jnp.maximum, return_carry=True)",
            "layer(x, seq_lengths=lengths, init_key=key)",
        ),
    ],
)
def test_rnn(layer, call):
    names = {"lengths": LENGTHS, "h": H, "key": jax.random.key(0)}
    check(layer, call, x=TIME, grads=False, **names)


@pytest.mark.parametrize("cell", ["OptimizedLSTMCell", "GRUCell"])
def test_gradients_through_an_rnn(cell):
    check(f"nn.RNN(nn.{cell}(4))", x=TIME, grad_tolerance=1e-5)


def test_rnn_construction():
    text = "nnx.RNN(LinenGRUCell(5, 4, rngs=rngs), return_carry=True)"
    check("nn.RNN(nn.GRUCell(4), return_carry=True)", x=TIME, grads=False, expect=text)


@pytest.mark.parametrize(
    "field", ["variable_axes={'params': 0}", "variable_carry='batch_stats'", "split_rngs=rngs"]
)
def test_other_lifting_is_refused(field):
    source = f"nn.RNN(nn.GRUCell(4), {field})"
    call = ast.parse(source, mode="eval").body
    from nnx_migrate.nnx.layers import write_construction

    spec = LAYERS["flax.linen.RNN"]
    written = write_construction(spec, bind(spec, call), {}, nnx="nnx", rngs="rngs", segment=ast.unparse)
    assert isinstance(written, Refusal)
    assert field.startswith(written.reason.split("`")[3])


def test_kernels_of_gates_are_drawn_one_by_one():
    drawn = []

    def draw(key, shape, dtype):
        drawn.append((key, shape, dtype))
        return jnp.full(shape, len(drawn), dtype)

    init = helpers()["per_gate"](draw, 4)
    cell = nnx.OptimizedLSTMCell(5, 8, recurrent_kernel_init=init, param_dtype=BF16, rngs=nnx.Rngs(0))
    assert [(shape, dtype) for _, shape, dtype in drawn] == [((8, 8), BF16)] * 4
    assert len({jax.random.key_data(key).tobytes() for key, _, _ in drawn}) == 4
    np.testing.assert_array_equal(np.asarray(cell.dense_h.kernel[0]), np.repeat([1, 2, 3, 4], 8))


def test_native_numerics_take_the_stock_cells():
    text = "nnx.LSTMCell(5, 4, rngs=rngs)"
    check("nn.LSTMCell(4)", "layer(c, x)", x=X, c=PAIR, numerics="native", grads=False, expect=text)
    text = "nnx.OptimizedLSTMCell(5, 4, rngs=rngs)"
    check("nn.OptimizedLSTMCell(4)", "layer(c, x)", x=X, c=PAIR, numerics="native", grads=False, expect=text)
