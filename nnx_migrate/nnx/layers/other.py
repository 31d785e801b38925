"""Dropout, PReLU, and the layers that hold other layers or plain functions."""

from __future__ import annotations

import ast

from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import Judge
from nnx_migrate.nnx.layers.linear import DTYPES, INPUTS, leaf
from nnx_migrate.nnx.layers.model import (
    Argument,
    BoundArgs,
    CallSpec,
    Child,
    LayerSpec,
    Leaf,
    Numerics,
    Refusal,
    words,
)


def _unpacked(draft: Draft) -> None:
    """`nn.Sequential([a, b])` takes a sequence, `nnx.Sequential(a, b)` the layers themselves."""
    node = draft.bound.values["layers"]
    if isinstance(node, ast.List | ast.Tuple):
        draft.arguments = {
            f"layers[{index}]": Argument(None, draft.segment(item), f"layers[{index}]", "field", "layers")
            for index, item in enumerate(node.elts)
        }
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and isinstance(node.right, ast.List):
        texts = [f"*{_operand(node.left, draft.segment(node.left))}", *map(draft.segment, node.right.elts)]
        draft.arguments = {
            f"layers[{index}]": Argument(None, text, f"layers[{index}]", "field", "layers")
            for index, text in enumerate(texts)
        }
    else:
        text = f"*{_operand(node, draft.segment(node))}"
        draft.arguments["layers"] = Argument(None, text, "layers", "field", "layers")


def _operand(node: ast.expr, text: str) -> str:
    """The text after a star, in parentheses where it is neither a name, a call nor a display."""
    simple = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.ListComp
    return text if isinstance(node, simple) else f"({text})"


def _filter_by_leaf(draft: Draft) -> Refusal | None:
    """WeightNorm's filter looks into whole paths, which a conversion may change; names of variables stay."""
    node = draft.bound.values.get("variable_filter")
    if node is None:
        return None
    value = draft.judge.constant(node)
    if value is not None and not (isinstance(value, set | list | tuple) and set(value) <= _LEAF_NAMES):
        return Refusal(
            "unknown-wrapped-names",
            "`variable_filter` selects variables by Linen names of layers, which NNX may not have",
            "Filter by the variables' own names (`kernel`, `bias`), or convert this layer by hand.",
            node,
        )
    return None


_LEAF_NAMES = {"kernel", "bias", "scale", "embedding"}


def _slope(_: BoundArgs, __: Judge, ___: Numerics) -> tuple[Leaf, ...]:
    return (leaf("negative_slope"),)


_PASS_ON = CallSpec(variadic=True)
_WRAPPED = (Child("layer_instance", ("layer_instance",)),)
_FP8 = Refusal(
    "no-counterpart",
    "NNX has no fp8 operations",
    "Keep the layer that uses it in Linen behind `nnx.bridge.ToNNX`.",
)
_FP8_FIELDS = words("amax_history_length e4m3_dtype e5m2_dtype")
_FP8_LAYERS = words("Fp8DotGeneralOp Fp8DirectDotGeneralOp NANOOFp8DotGeneralOp Fp8DotGeneral Fp8Einsum")

SPECS = (
    LayerSpec(
        linen="flax.linen.Dropout",
        nnx="flax.nnx.Dropout",
        required=("rate",),
        fields=words("rate broadcast_dims deterministic rng_collection"),
        defaults={"broadcast_dims": (), "deterministic": None, "rng_collection": "dropout"},
        positional=("rate",),
        sequences=frozenset({"broadcast_dims"}),
        call=CallSpec(
            params=("inputs", "deterministic", "rng"),
            positional=3,
            keywords={"rng": "rngs"},
            flag="deterministic",
        ),
    ),
    LayerSpec(
        linen="flax.linen.PReLU",
        nnx="flax.nnx.PReLU",
        fields=("param_dtype", "negative_slope_init"),
        defaults={"param_dtype": "float32", "negative_slope_init": 0.01},
        positional=("negative_slope_init",),
        needs_rngs=False,
        call=INPUTS,
        leaves=_slope,
    ),
    LayerSpec(
        linen="flax.linen.Sequential",
        nnx="flax.nnx.Sequential",
        required=("layers",),
        fields=("layers",),
        own=frozenset({"layers"}),
        children=(Child("layers", ("layers",), many=True, chained=True),),
        needs_rngs=False,
        adjust=_unpacked,
        call=_PASS_ON,
    ),
    LayerSpec(
        linen="flax.linen.BatchApply",
        nnx=None,
        helper="BatchApply",
        required=("f",),
        fields=("f", "num_dims"),
        defaults={"num_dims": 2},
        positional=("f", "num_dims"),
        children=(Child("f", ("f",)),),
        needs_rngs=False,
        call=_PASS_ON,
    ),
    LayerSpec(
        linen="flax.linen.SpectralNorm",
        nnx=None,
        helper="LinenSpectralNorm",
        required=("layer_instance",),
        fields=words("layer_instance n_steps epsilon dtype param_dtype error_on_non_matrix collection_name"),
        defaults={
            **DTYPES,
            "n_steps": 1,
            "epsilon": 1e-12,
            "error_on_non_matrix": False,
            "collection_name": "batch_stats",
        },
        positional=("layer_instance",),
        fixed={"collection_name": "batch_stats"},
        children=_WRAPPED,
        call=_PASS_ON,
    ),
    LayerSpec(
        linen="flax.linen.WeightNorm",
        nnx=None,
        helper="LinenWeightNorm",
        required=("layer_instance",),
        fields=words(
            "layer_instance epsilon dtype param_dtype use_scale scale_init feature_axes variable_filter"
        ),
        defaults={**DTYPES, "epsilon": 1e-12, "use_scale": True, "feature_axes": -1},
        positional=("layer_instance",),
        sequences=frozenset({"feature_axes"}),
        children=_WRAPPED,
        adjust=_filter_by_leaf,
        call=_PASS_ON,
    ),
    *(
        LayerSpec(f"flax.linen.{name}", None, fields=_FP8_FIELDS, call=_PASS_ON, refusal=_FP8)
        for name in _FP8_LAYERS
    ),
)
