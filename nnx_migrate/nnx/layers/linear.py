"""Dense, DenseGeneral, Einsum and Embed."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import DtypeKind, Judge
from nnx_migrate.nnx.layers.model import (
    AxisDims,
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

DTYPES: dict[str, object] = {"dtype": None, "param_dtype": "float32"}
INPUTS = CallSpec(params=("inputs",))


def leaf(name: str, *, collection: str = "params", optional: bool = False) -> Leaf:
    """A variable with the same name and shape on both sides."""
    return Leaf(collection, ((name,),), (name,), optional=optional)


def switched(bound: BoundArgs, judge: Judge, **switches: str) -> tuple[Leaf, ...]:
    """A leaf for each `leaf=field` whose boolean field isn't False."""
    found = []
    for name, field in switches.items():
        value = judge.field(bound, field)
        if value is not False:
            found.append(leaf(name, optional=value is not True))
    return tuple(found)


def kernel_and_bias(bound: BoundArgs, judge: Judge, _: Numerics) -> tuple[Leaf, ...]:
    """The variables of dense and convolution layers."""
    return (leaf("kernel"), *switched(bound, judge, bias="use_bias"))


def _einsum_shapes(draft: Draft) -> Refusal | None:
    """NNX wants the equation at construction, and the bias' shape, which Linen reads off the equation."""
    equation = draft.bound.values.get("einsum_str") or _called_with(draft.call, "einsum_str", 1)
    if equation is None or not isinstance(draft.judge.constant(equation), str):
        return Refusal(
            "no-counterpart",
            "`nnx.Einsum` needs its equation at construction, as a literal to tell the bias' shape",
            "Give `einsum_str` to the constructor.",
            equation or draft.bound.call,
        )
    if not draft.given("einsum_str"):
        draft.extra("einsum_str", draft.segment(equation))
    if draft.surely("use_bias", False):
        return None
    shape = _bias_shape(draft, str(draft.judge.constant(equation)))
    if isinstance(shape, Refusal):
        return shape
    if not draft.surely("use_bias", True):
        shape = f"{shape} if {draft.segment(draft.bound.values['use_bias'])} else None"
    draft.extra("bias_shape", shape)
    return None


def _called_with(call: ast.Call | None, name: str, position: int) -> ast.expr | None:
    if call is None:
        return None
    if len(call.args) > position:
        return call.args[position]
    return next((k.value for k in call.keywords if k.arg == name), None)


def _bias_shape(draft: Draft, equation: str) -> str | Refusal:
    """The source of the kernel dimensions that survive in the result, in the result's order."""
    operands, _, result = equation.replace(" ", "").partition("->")
    kernel = operands.partition(",")[2]
    shape = draft.bound.values["shape"]
    items = shape.elts if isinstance(shape, ast.Tuple | ast.List) else None
    indexable = isinstance(shape, ast.Name | ast.Attribute)
    readable = kernel.isalpha() and len(set(kernel)) == len(kernel) and "->" in equation
    if not readable or (items is None and not indexable) or (items is not None and len(items) != len(kernel)):
        return Refusal(
            "no-counterpart",
            "the bias' shape can't be read off the equation and the kernel's shape",
            "Write `nnx.Einsum(..., bias_shape=...)` by hand.",
            shape,
        )
    axes = [kernel.index(letter) for letter in result if letter in kernel]
    source = draft.segment(shape)
    dims = [draft.segment(items[axis]) if items is not None else f"{source}[{axis}]" for axis in axes]
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"


def _batch_axis(draft: Draft) -> None:
    """`nnx.LinearGeneral` wants the batch axes with their sizes; without any, the argument goes."""
    batch_axis = draft.arguments.get("batch_axis")
    if batch_axis is not None and batch_axis.origin == "field":
        draft.drop("batch_dims")


def _embed_dtype(draft: Draft) -> None:
    """`nnx.Embed` takes a missing dtype from the table, once and for all.

    Linen decides at every `attend`, together with the query; the two differ for tables that are not float32.
    """
    attends = draft.methods is None or "attend" in draft.methods
    may_be_none = draft.dtype("dtype") in (DtypeKind.NONE, DtypeKind.UNKNOWN)
    if draft.exact and attends and may_be_none and draft.dtype("param_dtype") is not DtypeKind.FLOAT32:
        draft.use_class("LinenEmbed")


def _embedding(_: BoundArgs, __: Judge, ___: Numerics) -> tuple[Leaf, ...]:
    return (leaf("embedding"),)


_DOT = {"dot_general": "PlainDotGeneral", "promote_dtype": "TuplePromoteDtype"}
_BIASED: dict[str, Any] = {"use_bias": True, **DTYPES, "precision": None}

SPECS = (
    LayerSpec(
        linen="flax.linen.Dense",
        nnx="flax.nnx.Linear",
        required=("features",),
        fields=words(
            "features use_bias dtype param_dtype precision kernel_init bias_init promote_dtype dot_general "
            "dot_general_cls"
        ),
        defaults={**_BIASED, "dot_general": None, "dot_general_cls": None},
        positional=("in_features", "out_features"),
        renames={"features": "out_features"},
        fixed={"dot_general_cls": None},
        adapters=_DOT,
        sizes=(Size("in_features", LastDim(0)),),
        features_arg="features",
        call=INPUTS,
        leaves=kernel_and_bias,
    ),
    LayerSpec(
        linen="flax.linen.DenseGeneral",
        nnx="flax.nnx.LinearGeneral",
        required=("features",),
        fields=words(
            "features axis batch_dims use_bias dtype param_dtype kernel_init bias_init precision "
            "promote_dtype dot_general dot_general_cls"
        ),
        defaults={**_BIASED, "axis": -1, "batch_dims": (), "dot_general": None, "dot_general_cls": None},
        positional=("in_features", "out_features"),
        renames={"features": "out_features", "batch_dims": "batch_axis"},
        fixed={"dot_general_cls": None},
        sequences=frozenset({"features", "axis"}),
        adapters=_DOT,
        sizes=(
            Size("in_features", AxisDims(0, "axis", "tuple")),
            Size("batch_axis", AxisDims(0, "batch_dims", "mapping")),
        ),
        features_arg="features",
        adjust=_batch_axis,
        call=INPUTS,
        leaves=kernel_and_bias,
    ),
    LayerSpec(
        linen="flax.linen.Einsum",
        nnx="flax.nnx.Einsum",
        required=("shape",),
        fields=words(
            "shape einsum_str use_bias dtype param_dtype precision kernel_init bias_init promote_dtype "
            "preferred_element_type"
        ),
        defaults={**_BIASED, "einsum_str": None, "preferred_element_type": None},
        positional=("einsum_str", "kernel_shape", "bias_shape"),
        renames={"shape": "kernel_shape"},
        own=frozenset({"use_bias"}),
        sequences=frozenset({"shape"}),
        adapters={"promote_dtype": "TuplePromoteDtype"},
        adjust=_einsum_shapes,
        call=CallSpec(params=("inputs", "einsum_str"), positional=2, nnx_positional=2),
        leaves=kernel_and_bias,
    ),
    LayerSpec(
        linen="flax.linen.Embed",
        nnx="flax.nnx.Embed",
        required=("num_embeddings", "features"),
        fields=words("num_embeddings features dtype param_dtype embedding_init promote_dtype"),
        defaults=DTYPES,
        positional=("num_embeddings", "features"),
        adapters={"promote_dtype": "TuplePromoteDtype"},
        features_arg="features",
        adjust=_embed_dtype,
        call=INPUTS,
        leaves=_embedding,
    ),
)
