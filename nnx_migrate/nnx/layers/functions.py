"""The functions of `flax.linen` and what replaces them in NNX code, each row measured on the current
releases.

Most are the same objects under another name. Three kinds of exceptions: functions that NNX has, but with
other numbers (a helper keeps Linen's), functions that NNX lacks (they are pure and may stay imported from
`flax.linen`; `keep` says so), and the partitioning wrappers, whose NNX form wants other arguments.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nnx_migrate.nnx.layers.aliases import canonical
from nnx_migrate.nnx.layers.model import ArgumentEdit, CallRewrite, Refusal


@dataclass(frozen=True)
class Function:
    """One Linen function.

    `nnx` is the equal function in NNX, `jax` the equal one in JAX, `helper` the one in
    `nnx_migrate.nnx.helpers`; `native` is NNX's own version where it computes something slightly different
    (`numerics="native"`). With `keep` the Linen function works unchanged in NNX code. Where arguments change,
    `params` are Linen's parameters, `positional` how many the new function takes by position, `renames` the
    new keywords, and `extra` what is added.
    """

    linen: str
    nnx: str | None = None
    jax: str | None = None
    helper: str | None = None
    native: str | None = None
    keep: bool = False
    params: tuple[str, ...] = ()
    positional: int = 0
    renames: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    note: str = ""

    @property
    def same_call(self) -> bool:
        """Whether calls keep their arguments as they are."""
        return not self.renames and not self.extra


_ACTIVATIONS = (
    "celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid log_softmax "
    "logsumexp one_hot relu relu6 selu sigmoid silu soft_sign softmax softplus standardize swish tanh"
)
_INITIALIZERS = (
    "constant delta_orthogonal glorot_normal glorot_uniform he_normal he_uniform kaiming_normal "
    "kaiming_uniform lecun_normal lecun_uniform normal ones orthogonal truncated_normal uniform "
    "variance_scaling xavier_normal xavier_uniform zeros"
)


def _linen(name: str, **row: object) -> Function:
    return Function(f"flax.linen.{name}", **row)  # type: ignore[arg-type]


_ROWS = (
    *(_linen(n, nnx=f"flax.nnx.{n}", jax=f"jax.nn.{n}") for n in _ACTIVATIONS.split() if n != "tanh"),
    _linen("tanh", nnx="flax.nnx.tanh", jax="jax.numpy.tanh"),
    _linen(
        "normalize", nnx="flax.nnx.standardize", jax="jax.nn.standardize", note="an old name of standardize"
    ),
    *(_linen(n, nnx=f"flax.nnx.{n}", keep=True) for n in ("avg_pool", "max_pool", "pool")),
    _linen("pooling.min_pool", nnx="flax.nnx.min_pool", keep=True),
    *(
        _linen(f"initializers.{n}", nnx=f"flax.nnx.initializers.{n}", jax=f"jax.nn.initializers.{n}")
        for n in _INITIALIZERS.split()
    ),
    *(_linen(f"initializers.{n}", nnx=f"flax.nnx.initializers.{n}") for n in ("ones_init", "zeros_init")),
    _linen("initializers.Initializer", nnx="flax.nnx.initializers.Initializer"),
    _linen("linear.default_kernel_init", nnx="flax.nnx.nn.linear.default_kernel_init"),
    _linen("linear.default_embed_init", nnx="flax.nnx.nn.linear.default_embed_init"),
    _linen("linear.canonicalize_padding", nnx="flax.nnx.nn.linear.canonicalize_padding"),
    _linen("recurrent.flip_sequences", nnx="flax.nnx.nn.recurrent.flip_sequences"),
    _linen("dtypes.canonicalize_dtype", nnx="flax.nnx.nn.dtypes.canonicalize_dtype"),
    _linen("dtypes.promote_dtype", keep=True, note="NNX's function of this name takes one tuple"),
    *(
        _linen(n, nnx=f"flax.nnx.{n}", keep=True)
        for n in ("make_attention_mask", "make_causal_mask", "combine_masks")
    ),
    _linen(
        "dot_product_attention",
        helper="linen_dot_product_attention",
        native="flax.nnx.dot_product_attention",
        keep=True,
        note="without dropout NNX takes jax.nn.dot_product_attention: other rounding, no `precision`",
    ),
    _linen("dot_product_attention_weights", helper="linen_dot_product_attention_weights", keep=True),
    _linen("merge_param", helper="merge_param", keep=True),
    *(
        _linen(f"normalization.{n}", keep=True, note="pure")
        for n in ("_abs_sq", "_canonicalize_axes", "_compute_stats")
    ),
    _linen(
        "with_partitioning",
        nnx="flax.nnx.with_partitioning",
        params=("fn", "names", "mesh"),
        positional=3,
        renames={"fn": "initializer", "names": "sharding"},
        extra=("eager_sharding=False",),
        note="annotates only, as Linen does; without eager_sharding=False NNX needs a mesh at construction",
    ),
    _linen(
        "with_logical_partitioning",
        nnx="flax.nnx.with_partitioning",
        params=("fn", "names", "mesh", "rules"),
        positional=3,
        renames={"fn": "initializer", "names": "sharding", "rules": "sharding_rules"},
        extra=("eager_sharding=False",),
        note="NNX keeps logical and mesh axes in one annotation; rules are applied when specs are read",
    ),
    *(
        _linen(f"partitioning.{n}", keep=True, note="pure; the older names of functions for logical axes")
        for n in (
            *("axis_rules", "get_axis_rules", "set_axis_rules", "with_sharding_constraint"),
            *("logical_to_mesh", "logical_to_mesh_axes", "get_axis_names", "AxisMetadata"),
        )
    ),
    _linen("get_partition_spec", nnx="flax.nnx.get_partition_spec", note="of an nnx.State"),
    _linen("get_sharding", nnx="flax.nnx.get_named_sharding", note="of an nnx.State"),
    _linen("logical_axis_rules", nnx="flax.nnx.logical_axis_rules"),
    _linen("get_logical_axis_rules", nnx="flax.core.spmd.get_logical_axis_rules", keep=True),
    _linen("set_logical_axis_rules", nnx="flax.core.spmd.set_logical_axis_rules", keep=True),
    *(
        _linen(n, keep=True, note="pure; NNX has no function of its own")
        for n in (
            *(
                "with_logical_constraint",
                "logical_to_mesh",
                "logical_to_mesh_axes",
                "logical_to_mesh_sharding",
            ),
            *("unbox", "intercept_methods"),
        )
    ),
    _linen("PARTITION_NAME", nnx="flax.nnx.PARTITION_NAME"),
    _linen("FrozenDict", nnx="flax.core.FrozenDict", keep=True),
)

FUNCTIONS: dict[str, Function] = {row.linen: row for row in _ROWS}
"""Every function and constant of `flax.linen` that is no layer, module API or lifted transform."""


def function(qualname: str) -> Function | None:
    """The row of a Linen function under any of its names."""
    return FUNCTIONS.get(canonical(qualname))


def rewrite_function_call(
    row: Function, call: ast.Call, segment: Callable[[ast.AST], str]
) -> CallRewrite | Refusal:
    """The edits to the arguments of a call whose function changes from `row.linen` to `row.nnx`."""
    if row.same_call:
        return CallRewrite(())
    edits = []
    for index, node in enumerate(call.args):
        if isinstance(node, ast.Starred) or index >= len(row.params):
            return Refusal(
                "unknown-arguments", f"`{row.linen}` gets arguments that are not visible", "", node
            )
        if index >= row.positional:
            name = row.params[index]
            edits.append(ArgumentEdit(node, f"{row.renames.get(name, name)}={segment(node)}"))
    for keyword in call.keywords:
        if keyword.arg is None:
            return Refusal(
                "unknown-arguments", f"`{row.linen}` gets arguments that are not visible", "", keyword
            )
        if keyword.arg in row.renames:
            edits.append(ArgumentEdit(keyword, f"{row.renames[keyword.arg]}={segment(keyword.value)}"))
    return CallRewrite((*edits, *(ArgumentEdit(None, text) for text in row.extra)))
