"""The attention layers, all three of which become `nnx.MultiHeadAttention`.

Without dropout, stock NNX attention takes `jax.nn.dot_product_attention`, which scales the logits in another
place, runs in another precision and ignores `precision=`. With a dropout rate it takes the operations of
Linen. So unless the rate is a literal other than zero, the construction gets an `attention_fn` that computes
what Linen's does. What may decode becomes a helper class that makes its cache where Linen does, in a call.
"""

from __future__ import annotations

import ast

from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import UNKNOWN, DtypeKind, Judge
from nnx_migrate.nnx.layers.linear import DTYPES
from nnx_migrate.nnx.layers.model import (
    BoundArgs,
    CallSpec,
    LastDim,
    LayerSpec,
    Leaf,
    Numerics,
    Refusal,
    Size,
    words,
)

_FIELDS = words(
    "num_heads dtype param_dtype qkv_features out_features broadcast_dropout dropout_rate deterministic "
    "precision kernel_init out_kernel_init bias_init out_bias_init use_bias attention_fn decode "
    "normalize_qk force_fp32_for_softmax qkv_dot_general out_dot_general qkv_dot_general_cls "
    "out_dot_general_cls qk_attn_weights_einsum_cls attn_weights_value_einsum_cls"
)
_LINEN_ATTENTION = "flax.linen.dot_product_attention"


def _attention(draft: Draft) -> Refusal | None:
    refusal = _key_width(draft)
    if refusal is not None:
        return refusal
    _attention_fn(draft)
    if not draft.given("decode"):
        draft.extra("decode", "False")
    elif not draft.surely("decode", False):
        draft.use_class("CachingAttention")
    normalizes = not draft.surely("normalize_qk", False)
    if draft.exact and normalizes and draft.dtype("dtype") not in (DtypeKind.NONE, DtypeKind.FLOAT32):
        draft.extra("ln_promote_dtype", draft.helper("keep_dtypes"))
    return None


def _key_width(draft: Draft) -> Refusal | None:
    """NNX has one width for queries and one for keys and values, to be given if it is another one."""
    queries = draft.arguments["in_features"].text
    keys = draft.arguments.pop("in_kv_features", None)
    values = draft.arguments.pop("in_v_features", None)
    width = queries if keys is None else keys.text
    if values is not None and values.text != width:
        return Refusal(
            "no-counterpart",
            f"keys ({width}) and values ({values.text}) may differ in width, for NNX they must not",
            "Write the projections out, or show the two widths to be the same.",
            draft.bound.call,
        )
    if keys is not None and width != queries:
        draft.extra("in_kv_features", width)
    return None


def _attention_fn(draft: Draft) -> None:
    node = draft.bound.values.get("attention_fn")
    softmax = draft.bound.values.get("force_fp32_for_softmax")
    own = node is not None and draft.judge.name(node) != _LINEN_ATTENTION
    plain = softmax is None or draft.judge.constant(softmax) is False
    rate = draft.value("dropout_rate")
    if own and node is not None:  # Linen passes a function only the arguments that it names, NNX passes all
        text = draft.segment(node)
        flag = "" if plain or softmax is None else f", force_fp32_for_softmax={draft.segment(softmax)}"
        draft.extra("attention_fn", f"{draft.helper('LinenAttentionFn')}({text}{flag})")
    elif not plain and softmax is not None:
        text = draft.helper("linen_dot_product_attention")
        flag = f"force_fp32_for_softmax={draft.segment(softmax)}"
        draft.extra("attention_fn", f"{draft.helper('LinenAttentionFn')}({text}, {flag})")
    elif draft.exact and (rate is UNKNOWN or not rate):
        draft.extra("attention_fn", draft.helper("linen_dot_product_attention"))


def _leaves(bound: BoundArgs, judge: Judge, _: Numerics) -> tuple[Leaf, ...]:
    found = []
    bias = judge.field(bound, "use_bias")
    for part in ("query", "key", "value", "out"):
        found.append(Leaf("params", ((part, "kernel"),), (part, "kernel")))
        if bias is not False:
            found.append(Leaf("params", ((part, "bias"),), (part, "bias"), optional=bias is not True))
    normalize = judge.field(bound, "normalize_qk")
    if normalize is not False:
        for part in ("query_ln", "key_ln"):
            found.append(Leaf("params", ((part, "scale"),), (part, "scale"), optional=normalize is not True))
    if judge.field(bound, "decode") is not False:
        for name in ("cached_key", "cached_value", "cache_index"):
            found.append(Leaf("cache", ((name,),), (name,), optional=True))
    return tuple(found)


def _given_key(text: str, draft: Draft) -> str:
    """A key given at the call is used as it is in Linen; NNX would fold a counter into it."""
    return f"{draft.helper('given_key')}({text})"


def is_mask(node: ast.expr) -> bool:
    """Whether a positional argument looks like a mask, as the third one was before Flax 0.7.4."""
    return any(
        "mask" in (part.id if isinstance(part, ast.Name) else part.attr).lower()
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    )


_CROSS = CallSpec(
    params=words("inputs_q inputs_k inputs_v inputs_kv mask deterministic dropout_rng sow_weights"),
    positional=3,
    nnx_positional=3,
    keywords={"inputs_kv": "inputs_k", "dropout_rng": "rngs"},
    convert={"dropout_rng": _given_key},
    flag="deterministic",
)
_SELF = CallSpec(
    params=words("inputs_q mask deterministic dropout_rng sow_weights"),
    positional=5,
    nnx_positional=1,
    keywords={"dropout_rng": "rngs"},
    convert={"dropout_rng": _given_key},
    flag="deterministic",
)
_CLASSES = words(
    "qkv_dot_general_cls out_dot_general_cls qk_attn_weights_einsum_cls attn_weights_value_einsum_cls"
)
_NONE = words("qkv_features out_features deterministic precision out_kernel_init out_bias_init")


def _spec(name: str, call: CallSpec, sizes: tuple[Size, ...]) -> LayerSpec:
    return LayerSpec(
        linen=f"flax.linen.{name}",
        nnx="flax.nnx.MultiHeadAttention",
        fields=_FIELDS,
        defaults={
            **DTYPES,
            **dict.fromkeys((*_NONE, *_CLASSES, "qkv_dot_general", "out_dot_general")),
            **dict.fromkeys(words("broadcast_dropout use_bias"), True),
            **dict.fromkeys(words("decode normalize_qk force_fp32_for_softmax"), False),
            "dropout_rate": 0.0,
        },
        positional=("num_heads", "in_features", "qkv_features", "out_features"),
        fixed=dict.fromkeys(_CLASSES),
        own=frozenset({"attention_fn", "force_fp32_for_softmax"}),
        adapters=dict.fromkeys(("qkv_dot_general", "out_dot_general"), "PlainDotGeneral"),
        sizes=sizes,
        required=("num_heads",),
        features_arg="out_features",
        call=call,
        adjust=_attention,
        leaves=_leaves,
    )


_QUERY = Size("in_features", LastDim(0))
_KEY_VALUE = (
    Size("in_kv_features", LastDim(1), optional=True),
    Size("in_v_features", LastDim(2), optional=True),
)

SPECS = (
    _spec("MultiHeadDotProductAttention", _CROSS, (_QUERY, *_KEY_VALUE)),
    _spec("MultiHeadAttention", _CROSS, (_QUERY, *_KEY_VALUE)),
    _spec("SelfAttention", _SELF, (_QUERY,)),
)
