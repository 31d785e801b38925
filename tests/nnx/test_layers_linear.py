"""Dense, DenseGeneral, Einsum, Embed: generated NNX code against Linen, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.nnx.harness import array, check

BF16 = jnp.bfloat16
X = array(2, 5)
TOKENS = jnp.array([[0, 2, 6], [1, 1, 9]])  # 9 is out of range


def plain_dot(lhs, rhs, dimensions, precision=None):
    """A dot_general with Linen's signature, and numbers of its own."""
    return 2.0 * jax.lax.dot_general(lhs, rhs, dimensions, precision=precision)


def half_promotion(*arrays, dtype=None):
    """A promote_dtype with Linen's calling convention."""
    return [None if a is None else jnp.asarray(a, BF16) for a in arrays]


@pytest.mark.parametrize(
    ("layer", "x", "expect"),
    [
        ("nn.Dense(3)", X, "nnx.Linear(5, 3, rngs=rngs)"),
        ("nn.Dense(features=3)", X, "nnx.Linear(5, 3, rngs=rngs)"),
        ("nn.Dense(3, use_bias=False)", X, "nnx.Linear(5, 3, use_bias=False, rngs=rngs)"),
        ("nn.Dense(3, False)", X, "nnx.Linear(5, 3, use_bias=False, rngs=rngs)"),
        ("nn.Dense(3, name='out')", X, "nnx.Linear(5, 3, rngs=rngs)"),
        ("nn.Dense(use_bias=True, features=2 + 1)", X, "nnx.Linear(5, 2 + 1, use_bias=True, rngs=rngs)"),
        ("nn.Dense(3, dtype=jnp.bfloat16)", X, "nnx.Linear(5, 3, dtype=jnp.bfloat16, rngs=rngs)"),
        ("nn.Dense(3)", X.astype(BF16), "nnx.Linear(5, 3, rngs=rngs)"),
        (
            "nn.Dense(3, True, None, jnp.bfloat16)",
            X.astype(BF16),
            "nnx.Linear(5, 3, use_bias=True, dtype=None, param_dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.Dense(3, kernel_init=nn.initializers.normal(0.02), bias_init=nn.zeros, precision='highest')",
            X,
            "nnx.Linear(5, 3, kernel_init=nnx.initializers.normal(0.02), bias_init=nnx.initializers.zeros, "
            "precision='highest', rngs=rngs)",
        ),
        ("nn.Dense(3, dot_general=None, dot_general_cls=None)", X, "nnx.Linear(5, 3, rngs=rngs)"),
        ("nn.Dense(3, dot_general=jax.lax.dot_general)", X, "nnx.Linear(5, 3, rngs=rngs)"),
        ("nn.Dense(3, promote_dtype=nn.dtypes.promote_dtype)", X, "nnx.Linear(5, 3, rngs=rngs)"),
        (
            "nn.Dense(3, dot_general=plain_dot)",
            X,
            "nnx.Linear(5, 3, dot_general=PlainDotGeneral(plain_dot), rngs=rngs)",
        ),
        (
            "nn.Dense(3, promote_dtype=half_promotion)",
            X,
            "nnx.Linear(5, 3, promote_dtype=TuplePromoteDtype(half_promotion), rngs=rngs)",
        ),
        ("nn.linear.Dense(3)", array(2, 4, 5), "nnx.Linear(5, 3, rngs=rngs)"),
    ],
)
def test_dense(layer, x, expect):
    check(layer, x=x, expect=expect, plain_dot=plain_dot, half_promotion=half_promotion)


def test_dense_with_a_dot_general_that_is_none_at_run_time():
    text = check("nn.Dense(3, dot_general=maybe)", x=X, maybe=None)
    assert "PlainDotGeneral(maybe)" in text


Y = array(2, 4, 5)


@pytest.mark.parametrize(
    ("layer", "x", "expect"),
    [
        ("nn.DenseGeneral(3)", Y, "nnx.LinearGeneral(5, 3, rngs=rngs)"),
        ("nn.DenseGeneral((2, 3), axis=-1)", Y, "nnx.LinearGeneral(5, (2, 3), axis=-1, rngs=rngs)"),
        ("nn.DenseGeneral([2, 3])", Y, "nnx.LinearGeneral(5, (2, 3), rngs=rngs)"),
        (
            "nn.DenseGeneral(features=3, axis=(-2, -1))",
            Y,
            "nnx.LinearGeneral((4, 5), 3, axis=(-2, -1), rngs=rngs)",
        ),
        ("nn.DenseGeneral(3, axis=[-1, -2])", Y, "nnx.LinearGeneral((4, 5), 3, axis=(-1, -2), rngs=rngs)"),
        ("nn.DenseGeneral(3, (2, 1))", Y, "nnx.LinearGeneral((4, 5), 3, axis=(2, 1), rngs=rngs)"),
        ("nn.DenseGeneral(3, axis=(-1,))", Y, "nnx.LinearGeneral((5,), 3, axis=(-1,), rngs=rngs)"),
        ("nn.DenseGeneral(3, axis=1)", Y, "nnx.LinearGeneral(4, 3, axis=1, rngs=rngs)"),
        ("nn.DenseGeneral(3, batch_dims=())", Y, "nnx.LinearGeneral(5, 3, rngs=rngs)"),
        (
            "nn.DenseGeneral(3, axis=-1, batch_dims=(0,), use_bias=False)",
            Y,
            "nnx.LinearGeneral(5, 3, axis=-1, use_bias=False, batch_axis={0: 2}, rngs=rngs)",
        ),
        (
            "nn.DenseGeneral((3, 2), batch_dims=(0, 1), dtype=jnp.bfloat16)",
            Y,
            "nnx.LinearGeneral(5, (3, 2), dtype=jnp.bfloat16, batch_axis={0: 2, 1: 4}, rngs=rngs)",
        ),
        (
            "nn.DenseGeneral(3, dot_general=plain_dot, dot_general_cls=None, param_dtype=jnp.bfloat16)",
            Y,
            "nnx.LinearGeneral(5, 3, dot_general=PlainDotGeneral(plain_dot), param_dtype=jnp.bfloat16, "
            "rngs=rngs)",
        ),
    ],
)
def test_dense_general(layer, x, expect):
    check(layer, x=x, expect=expect, plain_dot=plain_dot)


SHAPE = (5, 2, 3)


@pytest.mark.parametrize(
    ("layer", "call", "expect"),
    [
        (
            "nn.Einsum((5, 3), '...a,ab->...b')",
            "layer(x)",
            "nnx.Einsum('...a,ab->...b', (5, 3), bias_shape=(3,), rngs=rngs)",
        ),
        (
            "nn.Einsum((5, 2, 3), einsum_str='b t a, a h d -> b t d h', use_bias=True)",
            "layer(x)",
            "nnx.Einsum(einsum_str='b t a, a h d -> b t d h', kernel_shape=(5, 2, 3), bias_shape=(3, 2), "
            "rngs=rngs)",
        ),
        (
            "nn.Einsum((5, 3), '...a,ab->...b', use_bias=False, dtype=jnp.bfloat16)",
            "layer(x)",
            "nnx.Einsum('...a,ab->...b', (5, 3), dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.Einsum(SHAPE)",
            "layer(x, 'bta,ahd->bthd')",
            "nnx.Einsum(einsum_str='bta,ahd->bthd', kernel_shape=SHAPE, bias_shape=(SHAPE[1], SHAPE[2]), "
            "rngs=rngs)",
        ),
        (
            "nn.Einsum(shape=[5, 3], use_bias=biased)",
            "layer(x, einsum_str='bta,ac->btc')",
            "nnx.Einsum(einsum_str='bta,ac->btc', kernel_shape=(5, 3), bias_shape=(3,) if biased else "
            "None, rngs=rngs)",
        ),
    ],
)
def test_einsum(layer, call, expect):
    for biased in (True, False) if "biased" in layer else (True,):
        check(layer, call, x=Y, SHAPE=SHAPE, biased=biased, expect=expect)


@pytest.mark.parametrize(
    ("layer", "call", "expect"),
    [
        ("nn.Embed(7, 4)", "layer(tokens)", "nnx.Embed(7, 4, rngs=rngs)"),
        (
            "nn.Embed(num_embeddings=7, features=4, embedding_init=nn.initializers.normal(stddev=0.02))",
            "layer(tokens)",
            "nnx.Embed(num_embeddings=7, features=4, embedding_init=nnx.initializers.normal(stddev=0.02), "
            "rngs=rngs)",
        ),
        ("nn.Embed(1, 4)", "layer(tokens)", "nnx.Embed(1, 4, rngs=rngs)"),
        (
            "nn.Embed(7, 4, dtype=jnp.bfloat16)",
            "layer(tokens)",
            "nnx.Embed(7, 4, dtype=jnp.bfloat16, rngs=rngs)",
        ),
        ("nn.Embed(7, 4)", "layer.attend(layer(tokens))", "nnx.Embed(7, 4, rngs=rngs)"),
        (
            "nn.Embed(7, 4, dtype=jnp.bfloat16)",
            "layer.attend(query)",
            "nnx.Embed(7, 4, dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.Embed(7, 4, param_dtype=jnp.bfloat16)",
            "layer(tokens)",
            "nnx.Embed(7, 4, param_dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.Embed(7, 4, param_dtype=jnp.bfloat16)",
            "layer.attend(query)",
            "LinenEmbed(7, 4, param_dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.Embed(7, 4, dtype, param_dtype)",
            "layer.attend(query)",
            "LinenEmbed(7, 4, dtype=dtype, param_dtype=param_dtype, rngs=rngs)",
        ),
    ],
)
def test_embed(layer, call, expect):
    check(layer, call, tokens=TOKENS, query=array(3, 4), dtype=None, param_dtype=BF16, expect=expect)


def test_native_numerics_write_the_stock_embedding():
    text = "nnx.Embed(7, 4, param_dtype=jnp.float16, rngs=rngs)"
    check(
        "nn.Embed(7, 4, param_dtype=jnp.float16)",
        "layer(tokens)",
        tokens=TOKENS,
        numerics="native",
        expect=text,
    )


def test_numpy_inputs():
    check("nn.Dense(3)", x=np.asarray(X))
