"""Conv, ConvTranspose and ConvLocal."""

from __future__ import annotations

from nnx_migrate.nnx.layers.linear import DTYPES, INPUTS, kernel_and_bias
from nnx_migrate.nnx.layers.model import LastDim, LayerSpec, Size, SpatialDims, words

_DEFAULTS: dict[str, object] = {
    "use_bias": True,
    "mask": None,
    "precision": None,
    "padding": "SAME",
    **DTYPES,
}
_WINDOW: dict[str, object] = {
    **dict.fromkeys(words("strides input_dilation kernel_dilation feature_group_count"), 1),
    **dict.fromkeys(words("conv_general_dilated conv_general_dilated_cls")),
}
_FIELDS = words(
    "features kernel_size strides padding input_dilation kernel_dilation feature_group_count use_bias mask "
    "dtype param_dtype precision kernel_init bias_init promote_dtype conv_general_dilated "
    "conv_general_dilated_cls"
)
_LISTS = frozenset(words("kernel_size strides padding input_dilation kernel_dilation"))
_ADAPTERS = {"promote_dtype": "TuplePromoteDtype", "conv_general_dilated": "PlainConvGeneralDilated"}
_POSITIONAL = ("in_features", "out_features", "kernel_size", "strides")

SPECS = (
    LayerSpec(
        linen="flax.linen.Conv",
        nnx="flax.nnx.Conv",
        fields=_FIELDS,
        defaults={**_DEFAULTS, **_WINDOW},
        positional=_POSITIONAL,
        renames={"features": "out_features"},
        fixed={"conv_general_dilated_cls": None},
        sequences=_LISTS,
        adapters=_ADAPTERS,
        sizes=(Size("in_features", LastDim(0)),),
        required=("features", "kernel_size"),
        features_arg="features",
        call=INPUTS,
        leaves=kernel_and_bias,
    ),
    LayerSpec(
        linen="flax.linen.ConvLocal",
        nnx=None,
        helper="ConvLocal",
        fields=_FIELDS,
        defaults={**_DEFAULTS, **_WINDOW},
        positional=_POSITIONAL,
        renames={"features": "out_features"},
        # Linen uses conv_general_dilated here only to find the output's shape, and allows just one group.
        fixed={"conv_general_dilated": None, "conv_general_dilated_cls": None, "feature_group_count": 1},
        sequences=_LISTS,
        adapters={"promote_dtype": "TuplePromoteDtype"},
        sizes=(Size("in_features", LastDim(0)), Size("input_shape", SpatialDims(0, "kernel_size"))),
        required=("features", "kernel_size"),
        features_arg="features",
        call=INPUTS,
        leaves=kernel_and_bias,
    ),
    LayerSpec(
        linen="flax.linen.ConvTranspose",
        nnx="flax.nnx.ConvTranspose",
        fields=words(
            "features kernel_size strides padding kernel_dilation use_bias mask dtype param_dtype precision "
            "kernel_init bias_init transpose_kernel promote_dtype preferred_element_type"
        ),
        defaults={
            **_DEFAULTS,
            "strides": None,
            "kernel_dilation": None,
            "transpose_kernel": False,
            "preferred_element_type": None,
        },
        positional=_POSITIONAL,
        renames={"features": "out_features"},
        sequences=_LISTS,
        adapters={"promote_dtype": "TuplePromoteDtype"},
        sizes=(Size("in_features", LastDim(0)),),
        required=("features", "kernel_size"),
        features_arg="features",
        call=INPUTS,
        leaves=kernel_and_bias,
    ),
)
