"""BatchNorm, LayerNorm, RMSNorm, GroupNorm and InstanceNorm.

Stock NNX casts the input (and BatchNorm's running statistics) to `dtype` before it takes statistics, Linen
computes in at least float32 and casts the result. `promote_dtype=keep_dtypes` (a helper that returns its
arguments) makes the two equal bit for bit; where `dtype` certainly makes no difference, it is not written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import DtypeKind, Judge
from nnx_migrate.nnx.layers.linear import DTYPES, leaf, switched
from nnx_migrate.nnx.layers.model import (
    AxisDims,
    BoundArgs,
    CallSpec,
    LastDim,
    LayerSpec,
    Leaf,
    Numerics,
    Size,
    words,
)


def _statistics_dtype(draft: Draft) -> None:
    """Keep the statistics in the input's own dtype, unless promotion to `dtype` can't lose anything."""
    harmless = draft.dtype("dtype") in (DtypeKind.NONE, DtypeKind.FLOAT32) and draft.dtype("param_dtype") in (
        DtypeKind.FLOAT32,
        DtypeKind.HALF,
    )
    if draft.exact and not harmless:
        draft.extra("promote_dtype", draft.helper("keep_dtypes"))


def _batch_norm(draft: Draft) -> None:
    """BatchNorm also promotes with its float32 statistics: the output's dtype can change without `dtype`."""
    axis = draft.value("axis")
    if isinstance(axis, tuple | list) and len(axis) > 1:
        draft.use_class("MultiAxisBatchNorm")
    scaled = draft.surely("use_scale", True) or draft.surely("use_bias", True)
    harmless = draft.dtype("param_dtype") is DtypeKind.FLOAT32 and (
        draft.dtype("dtype") is DtypeKind.FLOAT32 or (draft.dtype("dtype") is DtypeKind.NONE and scaled)
    )
    if draft.exact and not harmless:
        draft.extra("promote_dtype", draft.helper("keep_dtypes"))


def _group_norm(draft: Draft) -> None:
    """Stock `nnx.GroupNorm` repeats the group statistics along axis 1, whatever the reduction axes are."""
    axes = draft.value("reduction_axes")
    all_but_batch = isinstance(axes, tuple | list) and list(axes) == list(range(1, len(axes) + 1))
    if axes is not None and not all_but_batch:
        draft.use_class("LinenGroupNorm")
    _statistics_dtype(draft)


def _bool_mask(text: str, draft: Draft) -> str:
    """Linen accepts masks of any dtype, NNX only boolean ones."""
    return text if text == "None" else f"{draft.helper('boolean_mask')}({text})"


def _leaves(axes_field: str | None) -> Callable[[BoundArgs, Judge, Numerics], tuple[Leaf, ...]]:
    """Scale, bias and running statistics; NNX keeps them flat where there are several feature axes."""

    def leaves(bound: BoundArgs, judge: Judge, _: Numerics) -> tuple[Leaf, ...]:
        switches = {"scale": "use_scale", "bias": "use_bias"}
        found = switched(bound, judge, **{k: v for k, v in switches.items() if v in bound.spec.fields})
        if bound.spec.name == "BatchNorm":
            found += tuple(leaf(name, collection="batch_stats") for name in ("mean", "var"))
        axes = judge.field(bound, axes_field) if axes_field else -1
        if isinstance(axes, tuple | list) and len(axes) > 1:
            return tuple(replace(x, transform="flatten") for x in found)
        return found

    return leaves


_FEATURES = Size("num_features", LastDim(0))
_FEATURE_AXES = Size("num_features", AxisDims(0, "feature_axes", "product"))
_PARAMETERS = "dtype param_dtype use_bias use_scale bias_init scale_init"
_AXIS_NAMES = "axis_name axis_index_groups use_fast_variance force_float32_reductions"
_COMMON: dict[str, Any] = {
    "defaults": {
        **DTYPES,
        **dict.fromkeys(words("axis_name axis_index_groups")),
        **dict.fromkeys(words("use_bias use_scale use_fast_variance force_float32_reductions"), True),
    },
    "positional": ("num_features",),
    "fixed": {"force_float32_reductions": True},
    "call": CallSpec(params=("x", "mask"), convert={"mask": _bool_mask}),
}


def _norm(name: str, fields: str, lists: set[str], **changes: Any) -> LayerSpec:
    """The spec of a normalization layer; `changes` are merged into what all of them share."""
    merged = dict(_COMMON)
    for key, value in changes.items():
        merged[key] = {**merged[key], **value} if key == "defaults" else value
    names = words(f"{fields} {_AXIS_NAMES}")
    merged["defaults"] = {key: value for key, value in merged["defaults"].items() if key in names}
    sequences = frozenset({"axis_index_groups", *lists})
    return LayerSpec(f"flax.linen.{name}", f"flax.nnx.{name}", fields=names, sequences=sequences, **merged)


SPECS = (
    _norm(
        "BatchNorm",
        f"use_running_average axis momentum epsilon {_PARAMETERS}",
        {"axis"},
        defaults={"use_running_average": None, "axis": -1, "momentum": 0.99, "epsilon": 1e-5},
        sizes=(Size("num_features", AxisDims(0, "axis", "shape")),),
        call=CallSpec(
            params=("x", "use_running_average", "mask"),
            positional=2,
            nnx_positional=2,
            convert={"mask": _bool_mask},
            flag="use_running_average",
        ),
        adjust=_batch_norm,
        leaves=_leaves("axis"),
    ),
    _norm(
        "LayerNorm",
        f"epsilon {_PARAMETERS} reduction_axes feature_axes",
        {"reduction_axes", "feature_axes"},
        defaults={"epsilon": 1e-6, "reduction_axes": -1, "feature_axes": -1},
        sizes=(_FEATURE_AXES,),
        adjust=_statistics_dtype,
        leaves=_leaves("feature_axes"),
    ),
    _norm(
        "RMSNorm",
        "epsilon dtype param_dtype use_scale scale_init reduction_axes feature_axes",
        {"reduction_axes", "feature_axes"},
        defaults={"epsilon": 1e-6, "reduction_axes": -1, "feature_axes": -1},
        sizes=(_FEATURE_AXES,),
        adjust=_statistics_dtype,
        leaves=_leaves("feature_axes"),
    ),
    _norm(
        "GroupNorm",
        f"num_groups group_size epsilon {_PARAMETERS} reduction_axes",
        {"reduction_axes"},
        defaults={"num_groups": 32, "group_size": None, "epsilon": 1e-6, "reduction_axes": None},
        sizes=(_FEATURES,),
        adjust=_group_norm,
        leaves=_leaves(None),
    ),
    _norm(
        "InstanceNorm",
        f"epsilon {_PARAMETERS} feature_axes",
        {"feature_axes"},
        defaults={"epsilon": 1e-6, "feature_axes": -1},
        sizes=(_FEATURE_AXES,),
        adjust=_statistics_dtype,
        leaves=_leaves("feature_axes"),
    ),
)
