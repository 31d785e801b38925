"""Attention layers: generated NNX code against Linen, bit for bit, in float32 and bfloat16."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.nnx.harness import array, check, helpers, random_key, same

BF16 = jnp.bfloat16
X = array(2, 4, 6)
CAUSAL = jnp.tril(jnp.ones((1, 1, 4, 4)))
FN = "attention_fn=linen_dot_product_attention"


def uniform(query, key, value, mask=None, dtype=None):
    """An attention_fn that takes fewer arguments than Linen and NNX have to give."""
    return jnp.broadcast_to(value.mean(-3, keepdims=True), query.shape).astype(dtype or value.dtype)


def plain_dot(lhs, rhs, dimensions, precision=None):
    """A dot_general with Linen's signature."""
    return jax.lax.dot_general(lhs, rhs, dimensions, precision=precision)


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        (
            "nn.MultiHeadDotProductAttention(2)",
            f"nnx.MultiHeadAttention(2, 6, {FN}, decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadAttention(num_heads=2, qkv_features=8, out_features=5)",
            f"nnx.MultiHeadAttention(num_heads=2, in_features=6, qkv_features=8, out_features=5, {FN}, "
            "decode=False, "
            "rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(num_heads=2, dropout_rate=0.0, use_bias=False, decode=False)",
            "nnx.MultiHeadAttention(num_heads=2, in_features=6, dropout_rate=0.0, use_bias=False, "
            f"decode=False, {FN}, "
            "rngs=rngs)",
        ),
        (
            "nn.SelfAttention(2, dtype=jnp.bfloat16, kernel_init=nn.initializers.xavier_uniform(), "
            "precision=None)",
            "nnx.MultiHeadAttention(2, 6, dtype=jnp.bfloat16, kernel_init=nnx.initializers.xavier_uniform(), "
            f"precision=None, {FN}, decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, dtype=dtype, normalize_qk=True)",
            f"nnx.MultiHeadAttention(2, 6, dtype=dtype, normalize_qk=True, {FN}, decode=False, "
            "ln_promote_dtype=keep_dtypes, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, normalize_qk=True, param_dtype=jnp.bfloat16)",
            f"nnx.MultiHeadAttention(2, 6, normalize_qk=True, param_dtype=jnp.bfloat16, {FN}, "
            "decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, dtype=dtype, force_fp32_for_softmax=True)",
            "nnx.MultiHeadAttention(2, 6, dtype=dtype, "
            "attention_fn=LinenAttentionFn(linen_dot_product_attention, "
            "force_fp32_for_softmax=True), decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, attention_fn=uniform, dtype=dtype)",
            "nnx.MultiHeadAttention(2, 6, dtype=dtype, attention_fn=LinenAttentionFn(uniform), "
            "decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, attention_fn=nn.attention.dot_product_attention)",
            f"nnx.MultiHeadAttention(2, 6, {FN}, decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, attention_fn=functools.partial(nn.dot_product_attention, "
            "bias=bias))",
            "nnx.MultiHeadAttention(2, 6, attention_fn=LinenAttentionFn(functools.partial("
            "linen_dot_product_attention, bias=bias)), decode=False, rngs=rngs)",
        ),
        (
            "nn.MultiHeadDotProductAttention(2, qkv_dot_general=plain_dot, out_dot_general=None)",
            f"nnx.MultiHeadAttention(2, 6, qkv_dot_general=PlainDotGeneral(plain_dot), {FN}, decode=False, "
            "rngs=rngs)",
        ),
    ],
)
def test_construction(layer, expect):
    names = {"uniform": uniform, "plain_dot": plain_dot, "bias": array(1, 2, 4, 4), "dtype": BF16}
    check(layer, x=X, expect=expect, **names)


@pytest.mark.parametrize("options", ["", ", param_dtype=jnp.bfloat16", ", dtype=dtype, normalize_qk=True"])
def test_inputs_in_bfloat16(options):
    check(f"nn.MultiHeadDotProductAttention(2{options})", x=X.astype(BF16), dtype=BF16)


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        ("nn.MultiHeadDotProductAttention(2)", "layer(x, mask=mask)"),
        ("nn.MultiHeadDotProductAttention(2)", "layer(x, x, mask=mask > 0)"),
        ("nn.MultiHeadDotProductAttention(2)", "layer(x, y)"),
        ("nn.MultiHeadDotProductAttention(2)", "layer(inputs_q=x, inputs_k=y, inputs_v=y)"),
        ("nn.MultiHeadDotProductAttention(2, qkv_features=4)", "layer(x, wide, wide)"),
        ("nn.MultiHeadDotProductAttention(2, qkv_features=4)", "layer(x, inputs_kv=wide)"),
        ("nn.MultiHeadDotProductAttention(2)", "layer(many)"),
        ("nn.SelfAttention(2)", "layer(x, mask)"),
        ("nn.SelfAttention(2)", "layer(x, mask, True)"),
        ("nn.SelfAttention(2, dropout_rate=0.3)", "layer(x, mask, not train)"),
        ("nn.SelfAttention(2, dropout_rate=0.3, deterministic=not train)", "layer(x, mask=mask)"),
        ("nn.MultiHeadDotProductAttention(2, dropout_rate=0.3)", "layer(x, y, deterministic=not train)"),
        ("nn.MultiHeadDotProductAttention(2, dropout_rate=rate)", "layer(x, deterministic=not train)"),
        (
            "nn.MultiHeadDotProductAttention(2, dropout_rate=rate, broadcast_dropout=False)",
            "layer(x, deterministic=not train, dropout_rng=key)",
        ),
        ("nn.SelfAttention(2, dropout_rate=rate)", "layer(x, None, not train, key)"),
        ("nn.SelfAttention(2, dropout_rate=rate)", "layer(x, None, not train, None)"),
        ("nn.SelfAttention(2, dropout_rate=rate)", "layer(x, deterministic=not train, dropout_rng=absent)"),
        (
            "nn.MultiHeadDotProductAttention(2, dropout_rate=rate, deterministic=absent)",
            "layer(x, deterministic=not train)",
        ),
    ],
)
def test_calls(layer, call):
    names = {
        "y": array(2, 3, 6),
        "wide": array(2, 3, 10),
        "many": array(2, 3, 4, 6),
        "mask": CAUSAL,
        "rate": 0.25,
        "key": random_key(9),
        "absent": None,
    }
    for train in (True, False) if "train" in call + layer else (True,):
        check(layer, call, x=X, train=train, grads=False, **names)


def test_the_stock_layer_is_enough_with_a_dropout_rate():
    text = "nnx.MultiHeadAttention(2, 6, dropout_rate=0.1, dtype=dtype, decode=False, rngs=rngs)"
    for deterministic in (True, False):
        check(
            "nn.MultiHeadDotProductAttention(2, dropout_rate=0.1, dtype=dtype)",
            "layer(x, deterministic=deterministic)",
            x=X,
            dtype=BF16,
            deterministic=deterministic,
            expect=text,
        )


def test_native_numerics_take_the_stock_attention():
    text = "nnx.MultiHeadAttention(1, 4, decode=False, rngs=rngs)"  # depth 4: the stock path rounds alike
    check("nn.SelfAttention(1)", x=array(2, 3, 4), numerics="native", grads=False, expect=text)


def test_attention_weights_are_sown():
    linen = nn.MultiHeadDotProductAttention(2)
    layer = nnx.MultiHeadAttention(
        2, 6, attention_fn=helpers()["linen_dot_product_attention"], decode=False, rngs=nnx.Rngs(0)
    )
    params = {
        name: {part: variable[...] for part, variable in nnx.state(getattr(layer, name)).items()}
        for name in ("query", "key", "value", "out")
    }
    _, state = linen.apply({"params": params}, X, sow_weights=True, mutable=["intermediates"])
    _, sown = nnx.capture(layer, nnx.Intermediate)(X, sow_weights=True)
    same(state["intermediates"]["attention_weights"], sown["attention_weights"].get_value(), 0.0, "weights")


def test_decoding_step_by_step():
    linen = nn.MultiHeadDotProductAttention(2, decode=True)
    variables = linen.init(jax.random.key(0), X)
    layer = nnx.MultiHeadAttention(
        2, 6, attention_fn=helpers()["linen_dot_product_attention"], decode=True, rngs=nnx.Rngs(0)
    )
    nnx.update(layer, variables["params"])
    layer.init_cache(X.shape, dtype=jnp.float32)
    cache = variables["cache"]
    for step in range(X.shape[1]):
        token = X[:, step : step + 1]
        expected, changed = linen.apply({**variables, "cache": cache}, token, mutable=["cache"])
        cache = changed["cache"]
        same(expected, layer(token), 0.0, "output")
    same(cache["cached_key"], layer.cached_key.get_value(), 0.0, "cache")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": array(2, 3, 5, 5)},
        {"mask": array(2, 3, 5, 5) > 0},
        {"dropout_rate": 0.5, "dropout_rng": random_key(1), "broadcast_dropout": False},
        {"precision": "highest"},
        {"dtype": BF16, "force_fp32_for_softmax": True},
    ],
)
def test_attention_as_a_function(options):
    query, key, value = (array(2, 5, 3, 7, seed=seed) for seed in (1, 2, 3))
    expected = nn.dot_product_attention(query, key, value, **options)
    same(expected, helpers()["linen_dot_product_attention"](query, key, value, **options), 0.0, "attention")
    weights = functools.partial(helpers()["linen_dot_product_attention_weights"], query, key, **options)
    same(nn.dot_product_attention_weights(query, key, **options), weights(), 0.0, "weights")


def test_precision_reaches_the_products():
    query = array(1, 2, 1, 8)
    attend = functools.partial(helpers()["linen_dot_product_attention"], precision="highest")
    assert str(jax.make_jaxpr(attend)(query, query, query)).count("HIGHEST") >= 2


def test_adapters_of_one_function_are_equal():
    adapter = helpers()["LinenAttentionFn"]
    assert adapter(uniform) == adapter(uniform)
    assert hash(adapter(uniform)) == hash(adapter(uniform))
    assert adapter(uniform) != adapter(np.mean)
