"""Attention and its masks as functions."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unmodelled, Value, broadcast
from nnx_migrate.linen.effects.arguments import array_of, dtype_of, int_of
from nnx_migrate.linen.effects.axes import expand_dims
from nnx_migrate.linen.effects.einsum import einsum_shape
from nnx_migrate.linen.effects.registry import models

_FLOAT32 = Global("jax.numpy.float32")


@models("flax.linen.make_attention_mask")
def make_attention_mask(
    query_input: Value,
    key_input: Value,
    pairwise_fn: Value = None,
    extra_batch_dims: Value = 0,
    dtype: Value = _FLOAT32,
) -> Array:
    """(..., queries) and (..., keys) give (extra ones, ..., 1, queries, keys)."""
    query, key = array_of(query_input), array_of(key_input)
    batch = broadcast(query.shape.before(1), key.shape.before(1))
    mask = Array(batch.then(1, query.shape.dim(-1), key.shape.dim(-1)), dtype_of(dtype))
    extra = int_of(extra_batch_dims, "extra_batch_dims")
    return expand_dims(mask, tuple(range(extra))) if extra else mask


@models("flax.linen.make_causal_mask")
def make_causal_mask(x: Value, extra_batch_dims: Value = 0, dtype: Value = _FLOAT32) -> Array:
    """(..., length) gives (extra ones, ..., 1, length, length)."""
    return make_attention_mask(x, x, None, extra_batch_dims, dtype)


@models("flax.linen.combine_masks")
def combine_masks(*masks: Value, dtype: Value = _FLOAT32) -> Array | None:
    """All masks that are not None, broadcast."""
    given = [array_of(mask) for mask in masks if mask is not None]
    if not given:
        return None
    return Array(broadcast(*(mask.shape for mask in given)), dtype_of(dtype))


def attention_weights(query: Array, key: Array, *extra: Value) -> Shape:
    """(..., heads, queries, keys), widened by bias and mask.

    Flax wants these to have no other axes than the weights. So they don't count where their shape isn't known.
    """
    shape = einsum_shape("...qhd,...khd->...hqk", [query.shape, key.shape])
    return broadcast(
        shape, *(value.shape for value in extra if isinstance(value, Array) and value.shape.exact)
    )


@models("flax.linen.dot_product_attention_weights", "flax.linen.attention.dot_product_attention_weights")
def dot_product_attention_weights(
    query: Value,
    key: Value,
    bias: Value = None,
    mask: Value = None,
    broadcast_dropout: Value = True,
    dropout_rng: Value = None,
    dropout_rate: Value = 0.0,
    deterministic: Value = False,
    dtype: Value = None,
    precision: Value = None,
    module: Value = None,
    force_fp32_for_softmax: Value = False,
    einsum_dot_general: Value = None,
    einsum: Value = None,
) -> Array:
    """The weights of attention."""
    return Array(attention_weights(array_of(query), array_of(key), bias, mask))


@models("flax.linen.dot_product_attention", "flax.linen.attention.dot_product_attention")
def dot_product_attention(
    query: Value,
    key: Value,
    value: Value,
    bias: Value = None,
    mask: Value = None,
    broadcast_dropout: Value = True,
    dropout_rng: Value = None,
    dropout_rate: Value = 0.0,
    deterministic: Value = False,
    dtype: Value = None,
    precision: Value = None,
    module: Value = None,
    force_fp32_for_softmax: Value = False,
    einsum_dot_general: Value = None,
    qk_attn_weights_einsum: Value = None,
    attn_weights_value_einsum: Value = None,
) -> Array:
    """(..., queries, heads, depth), (..., keys, heads, depth) and values of the latter kind."""
    weights = attention_weights(array_of(query), array_of(key), bias, mask)
    return Array(einsum_shape("...hqk,...khd->...qhd", [weights, array_of(value).shape]))


@models("jax.nn.dot_product_attention")
def jax_dot_product_attention(
    query: Value,
    key: Value,
    value: Value,
    bias: Value = None,
    mask: Value = None,
    *,
    scale: Value = None,
    is_causal: Value = False,
    query_seq_lengths: Value = None,
    key_value_seq_lengths: Value = None,
    local_window_size: Value = None,
    implementation: Value = None,
    return_residual: Value = False,
) -> Array:
    """The shape of the queries, with or without a batch axis."""
    if return_residual is not False:
        raise Unmodelled("attention with its residual")
    return array_of(query)
