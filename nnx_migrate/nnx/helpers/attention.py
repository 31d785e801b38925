"""Attention with the numbers of `flax.linen`, for `nnx.MultiHeadAttention` or on its own."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype


def linen_dot_product_attention_weights(
    query: jax.Array,
    key: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: jax.Array | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Any = None,
    precision: Any = None,
    module: nnx.Module | None = None,
    force_fp32_for_softmax: bool = False,
    is_causal: bool = False,
) -> jax.Array:
    """Attention weights as `flax.linen.dot_product_attention_weights` computes them.

    The query is scaled before the product with the key, and `precision` is respected. Shapes: query
    (..., length, heads, depth), key (..., key_length, heads, depth), result (..., heads, length, key_length).
    With a `module`, the weights are sown there as "attention_weights".
    """
    query, key = promote_dtype((query, key), dtype=dtype)
    dtype = query.dtype
    query = query / jnp.sqrt(query.shape[-1]).astype(dtype)
    logits = jnp.einsum("...qhd,...khd->...hqk", query, key, precision=precision)
    if bias is not None:
        logits = logits + bias
    if is_causal:
        causal = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        mask = causal if mask is None else jnp.logical_and(mask, causal)
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(dtype).min)
    if force_fp32_for_softmax and dtype != jnp.float32:
        weights = jax.nn.softmax(logits.astype(jnp.float32))
    else:
        weights = jax.nn.softmax(logits).astype(dtype)
    if module is not None:
        module.sow(nnx.Intermediate, "attention_weights", weights)
    if deterministic or dropout_rate == 0.0:
        return weights
    if dropout_rng is None:
        raise ValueError("attention dropout needs a dropout_rng")
    shape = weights.shape
    if broadcast_dropout:
        shape = (1,) * (len(shape) - 2) + shape[-2:]
    keep_rate = 1.0 - dropout_rate
    keep = jax.random.bernoulli(dropout_rng, keep_rate, shape)
    return weights * (keep.astype(dtype) / jnp.asarray(keep_rate, dtype=dtype))


def linen_dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: jax.Array | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Any = None,
    precision: Any = None,
    module: nnx.Module | None = None,
    force_fp32_for_softmax: bool = False,
    is_causal: bool = False,
) -> jax.Array:
    """Attention as `flax.linen.dot_product_attention` computes it.

    `nnx.dot_product_attention` takes another path without dropout, with other rounding (and without
    `precision`). Shapes: query (..., length, heads, depth), key and value (..., key_length, heads, depth),
    result (..., length, heads, depth).
    """
    query, key, value = promote_dtype((query, key, value), dtype=dtype)
    weights = linen_dot_product_attention_weights(
        query,
        key,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        query.dtype,
        precision,
        module,
        force_fp32_for_softmax,
        is_causal,
    )
    return jnp.einsum("...hqk,...khd->...qhd", weights, value, precision=precision)


class CachingAttention(nnx.MultiHeadAttention):
    """Attention that makes its cache in its first decoding call, as `flax.linen` does.

    That call attends to all of its inputs; what they are tells the shape and dtype of the cache. Those after
    it get one position each. The inputs are (..., length, features), the cached keys and values
    (..., length, heads, depth).
    """

    def __call__(
        self,
        inputs_q: jax.Array,
        inputs_k: jax.Array | None = None,
        inputs_v: jax.Array | None = None,
        *,
        decode: bool | None = None,
        **options: Any,
    ) -> jax.Array:
        """Attend, with the cache if there is one."""
        decode = self.decode if decode is None else decode
        makes_cache = decode and self.cached_key is None
        if makes_cache:
            keys = inputs_q if inputs_k is None else inputs_k
            values = keys if inputs_v is None else inputs_v
            key = jax.eval_shape(lambda x: self.key(x), keys)
            if self.key_ln is not None:
                key = jax.eval_shape(self.key_ln, key)
            value = jax.eval_shape(lambda x: self.value(x), values)
            self.cached_key = nnx.Cache(jnp.zeros(key.shape, key.dtype))
            self.cached_value = nnx.Cache(jnp.zeros(value.shape, value.dtype))
            self.cache_index = nnx.Cache(jnp.array(0, dtype=jnp.int32))
        return super().__call__(
            inputs_q, inputs_k, inputs_v, decode=bool(decode) and not makes_cache, **options
        )


@dataclasses.dataclass(frozen=True)
class LinenAttentionFn:
    """Calls an attention function as `flax.linen.MultiHeadDotProductAttention` does.

    Linen passes a function only the arguments that its signature names; `nnx.MultiHeadAttention` passes all
    that it has. Two adapters of the same function are equal, so that graph definitions stay comparable.
    """

    fn: Callable[..., jax.Array]
    force_fp32_for_softmax: bool = False

    def __call__(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        *,
        module: nnx.Module | None = None,
        is_causal: bool = False,
        **arguments: Any,
    ) -> jax.Array:
        """Attend with those of the arguments that the function names."""
        arguments["force_fp32_for_softmax"] = self.force_fp32_for_softmax
        names = inspect.signature(self.fn).parameters
        passed = {name: value for name, value in arguments.items() if name in names}
        if module is not None:
            passed["module"] = module
        if is_causal:
            passed["is_causal"] = is_causal
        return self.fn(query, key, value, **passed)


def given_key(key: jax.Array | None) -> Callable[[], jax.Array | None] | None:
    """A random stream for `rngs=` that gives just this key, as Linen uses `dropout_rng=`; None stays None.

    `nnx.Rngs(dropout=key)` would fold a counter into it.
    """
    return None if key is None else lambda: key
