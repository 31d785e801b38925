"""Multi-head attention."""

from __future__ import annotations

from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import Array, Global, Unknown, Value
from nnx_migrate.linen.effects.arguments import array_of, dim_of, unmodelled
from nnx_migrate.linen.effects.attention import attention_weights
from nnx_migrate.linen.effects.einsum import einsum_shape
from nnx_migrate.linen.effects.layers.base import (
    FLOAT32,
    Applied,
    Layer,
    guarded_output,
    last_dim,
    layer_dtype,
    models_layer,
)

_DEFAULT_FUNCTIONS = (
    None,
    Global("flax.linen.dot_product_attention"),
    Global("flax.linen.attention.dot_product_attention"),
)


@models_layer("flax.linen.MultiHeadDotProductAttention", "flax.linen.MultiHeadAttention")
@dataclass(frozen=True)
class MultiHeadDotProductAttention(Layer):
    """Attention between any two sequences."""

    num_heads: Value
    dtype: Value = None
    param_dtype: Value = FLOAT32
    qkv_features: Value = None
    out_features: Value = None
    broadcast_dropout: Value = True
    dropout_rate: Value = 0.0
    deterministic: Value = None
    precision: Value = None
    kernel_init: Value = None
    out_kernel_init: Value = None
    bias_init: Value = None
    out_bias_init: Value = None
    use_bias: Value = True
    attention_fn: Value = None
    decode: Value = False
    normalize_qk: Value = False
    force_fp32_for_softmax: Value = False
    qkv_dot_general: Value = None
    out_dot_general: Value = None
    qkv_dot_general_cls: Value = None
    out_dot_general_cls: Value = None
    qk_attn_weights_einsum_cls: Value = None
    attn_weights_value_einsum_cls: Value = None

    def call(
        self,
        inputs_q: Value,
        inputs_k: Value = None,
        inputs_v: Value = None,
        *,
        inputs_kv: Value = None,
        mask: Value = None,
        deterministic: Value = None,
        dropout_rng: Value = None,
        sow_weights: Value = False,
    ) -> Applied:
        """Sizes: in_features (queries), in_kv_features (keys), in_value_features (values)."""
        if inputs_kv is not None:
            inputs_k = inputs_v = inputs_kv
        keys = inputs_q if inputs_k is None else inputs_k
        values = keys if inputs_v is None else inputs_v
        sizes: dict[str, Value] = {
            "in_features": last_dim(inputs_q),
            "in_kv_features": last_dim(keys),
            "in_value_features": last_dim(values),
        }
        return Applied(guarded_output(lambda: self._output(inputs_q, keys, values, mask)), sizes)

    def _output(self, inputs_q: Value, keys: Value, values: Value, mask: Value) -> Array:
        if self.attention_fn not in _DEFAULT_FUNCTIONS:
            raise unmodelled(self.attention_fn, "attention with its own attention_fn")
        query = array_of(inputs_q)
        # `self.out_features or inputs_q.shape[-1]`: None and 0 stand for the width of the queries.
        if self.out_features is None or self.out_features == 0:
            features = query.shape.dim(-1)
        else:
            features = dim_of(self.out_features, "out_features")
        # The numbers of heads and their width do not show in the result.
        heads = [array_of(value).shape.before(1).then(1, 1) for value in (inputs_q, keys, values)]
        weights = attention_weights(
            Array(heads[0]), Array(heads[1]), *_mask_of_one_head(mask, self.decode is not False)
        )
        attended = einsum_shape("...hqk,...khd->...qhd", [weights, heads[2]])
        return Array(
            attended.before(2).then(features),
            layer_dtype(self.dtype, self.param_dtype, inputs_q, keys, values),
        )


def _mask_of_one_head(mask: Value, may_decode: bool) -> list[Value]:
    """The mask with a head axis of 1, as the operands have.

    One that isn't known is taken to have no more axes, and no larger ones, than the weights: so attention
    documents it. Attention that may decode looks at all cached keys: their number is not that of the keys given, and it
    does not show in the result.
    """
    if mask is None or isinstance(mask, Unknown):
        return []
    array = array_of(mask)
    shape = array.shape.replaced(-1, 1) if may_decode else array.shape
    if shape.exact and len(shape.dims) < 3:
        return [Array(shape, array.dtype)]
    return [Array(shape.replaced(-3, 1), array.dtype)]


@models_layer("flax.linen.SelfAttention")
@dataclass(frozen=True)
class SelfAttention(MultiHeadDotProductAttention):
    """Attention within one sequence."""

    def call(  # type: ignore[override]
        self,
        inputs_q: Value,
        mask: Value = None,
        deterministic: Value = None,
        dropout_rng: Value = None,
        sow_weights: Value = False,
    ) -> Applied:
        """Sizes: in_features."""
        applied = super().call(inputs_q, mask=mask)
        return Applied(applied.output, {"in_features": applied.sizes["in_features"]})
