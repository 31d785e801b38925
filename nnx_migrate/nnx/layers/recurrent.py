"""The recurrent cells, RNN and Bidirectional."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import Judge
from nnx_migrate.nnx.layers.linear import DTYPES
from nnx_migrate.nnx.layers.model import (
    BoundArgs,
    CallSpec,
    CarryDim,
    Child,
    LastDim,
    LayerSpec,
    Leaf,
    Numerics,
    Refusal,
    Size,
    words,
)

Leaves = Callable[[BoundArgs, Judge, Numerics], tuple[Leaf, ...]]
_LSTM_GATES = "ifgo"


def _constant_carry(draft: Draft) -> Refusal | None:
    """A random carry would come from other keys: Linen splits the caller's, NNX counts in a stream."""
    node = draft.bound.values.get("carry_init")
    if node is None:
        return None
    seen = draft.judge.seen(node)
    name = draft.judge.name(seen.func if isinstance(seen, ast.Call) else seen)
    if name is not None and name.startswith(_INITIALIZER_MODULES) and name.rpartition(".")[2] in _CONSTANT:
        return None
    return Refusal(
        "no-counterpart",
        "`carry_init` may draw random numbers, for which NNX uses other keys than Linen",
        "Pass the initial carry to the call, or use a constant initializer.",
        node,
    )


_INITIALIZER_MODULES = ("flax.linen.initializers.", "jax.nn.initializers.", "flax.nnx.initializers.")
_CONSTANT = {"zeros", "zeros_init", "ones", "ones_init", "constant"}


def _optimized_lstm(draft: Draft) -> Refusal | None:
    """`nnx.OptimizedLSTMCell` initialises the kernels of all gates as one matrix, Linen each on its own.

    That matters for every initializer that looks at the shape, such as the default of the recurrent kernel.
    """
    if not draft.exact:
        return _constant_carry(draft)
    per_gate = draft.helper("per_gate")
    if draft.given("kernel_init"):
        draft.wrap("kernel_init", per_gate, "4")
    if draft.given("recurrent_kernel_init"):
        draft.wrap("recurrent_kernel_init", per_gate, "4")
    else:
        draft.extra("recurrent_kernel_init", f"{per_gate}({draft.nnx}.initializers.orthogonal(), 4)")
    return _constant_carry(draft)


def _gru(draft: Draft) -> Refusal | None:
    """`nnx.GRUCell` lacks the bias that Linen adds to the new gate's hidden part."""
    if draft.exact:
        draft.use_class("LinenGRUCell")
    return _constant_carry(draft)


def _simple_cell(draft: Draft) -> Refusal | None:
    """Linen infers the dtype where none is given, NNX takes float32."""
    if draft.exact and not draft.given("dtype"):
        draft.extra("dtype", "None")
    return _constant_carry(draft)


def _rnn_scan(draft: Draft) -> Refusal | None:
    """The lifting arguments of `nn.RNN`: their defaults are what NNX does, others have no translation."""
    for name, values in _LIFTING.items():
        node = draft.bound.values.get(name)
        if name == "split_rngs" and node is not None and _splits_draws(draft.judge.constant(node)):
            continue
        if node is not None and draft.judge.constant(node) not in values:
            return Refusal(
                "no-counterpart",
                f"`nn.RNN` lifts variables in its own way (`{name}`)",
                "Write the loop with `nnx.scan` and `nnx.StateAxes`.",
                node,
            )
    return None


def _splits_draws(given: object) -> bool:
    """Whether every step draws other numbers, from the same parameters: NNX's streams count on from step to step."""
    return isinstance(given, dict) and all(bool(split) != (name == "params") for name, split in given.items())


_LIFTING: dict[str, tuple[object, ...]] = {
    "variable_axes": ({},),
    "variable_broadcast": ("params", ["params"], ("params",)),
    "variable_carry": (False,),
    "split_rngs": ({"params": False}, {}),
}


def _rngs_from_key(text: str, draft: Draft) -> str:
    return f"{draft.nnx}.Rngs(carry={text})"


def _dense(kernels: str, biased: str) -> Leaves:
    """Leaves of a cell with one dense layer per gate; a trailing underscore avoids Python's keywords."""

    def leaves(_: BoundArgs, __: Judge, ___: Numerics) -> tuple[Leaf, ...]:
        found = []
        for name in kernels.split():
            for part in ("kernel", "bias") if name in biased.split() else ("kernel",):
                found.append(Leaf("params", ((name, part),), (python_name(name), part)))
        return tuple(found)

    return leaves


def python_name(name: str) -> str:
    """The attribute for a Linen submodule name that may be a keyword (`if`, `in`)."""
    return f"{name}_" if name in ("if", "in") else name


def _fused_lstm(_: BoundArgs, __: Judge, ___: Numerics) -> tuple[Leaf, ...]:
    def joined(side: str, part: str) -> Leaf:
        sources = tuple((side + gate, part) for gate in _LSTM_GATES)
        return Leaf("params", sources, (f"dense_{side}", part), "concat")

    return (joined("i", "kernel"), joined("h", "kernel"), joined("h", "bias"))


def _gru_leaves(bound: BoundArgs, judge: Judge, numerics: Numerics) -> tuple[Leaf, ...]:
    if numerics == "exact":
        return _dense("ir iz in hr hz hn", "ir iz in hn")(bound, judge, numerics)

    def joined(side: str, part: str) -> Leaf:
        return Leaf("params", tuple((side + gate, part) for gate in "rzn"), (f"dense_{side}", part), "concat")

    lost = Leaf("params", (("hn", "bias"),), None)
    return (joined("i", "kernel"), joined("i", "bias"), joined("h", "kernel"), lost)


def _simple_leaves(_: BoundArgs, __: Judge, ___: Numerics) -> tuple[Leaf, ...]:
    parts = (("i", "kernel"), ("i", "bias"), ("h", "kernel"))
    return tuple(Leaf("params", (path,), (f"dense_{path[0]}", path[1])) for path in parts)


def _mgu_leaves(bound: BoundArgs, judge: Judge, _: Numerics) -> tuple[Leaf, ...]:
    reset = judge.field(bound, "reset_gate")
    dense = _dense("if in hf hn", "if in")(bound, judge, "exact")
    if reset is False:
        return dense
    return (*dense, Leaf("params", (("hn", "bias"),), ("hn", "bias"), optional=reset is not True))


def _conv_lstm_leaves(bound: BoundArgs, judge: Judge, _: Numerics) -> tuple[Leaf, ...]:
    bias = judge.field(bound, "use_bias")
    parts = ("kernel",) if bias is False else ("kernel", "bias")
    return tuple(
        Leaf("params", ((name, part),), (name, part), optional=part == "bias" and bias is not True)
        for name in ("ih", "hh")
        for part in parts
    )


_GATED = "features gate_fn activation_fn kernel_init recurrent_kernel_init"
_CELL: dict[str, Any] = {
    "fields": words(f"{_GATED} bias_init dtype param_dtype carry_init"),
    "defaults": DTYPES,
    "positional": ("in_features", "hidden_features"),
    "renames": {"features": "hidden_features"},
    "sizes": (Size("in_features", LastDim(1)), Size("hidden_features", CarryDim("features", pairs=False))),
    "features_arg": "features",
    "adjust": _constant_carry,
    "call": CallSpec(params=("carry", "inputs"), positional=2, nnx_positional=2),
}
_RUN_SWITCHES = words("time_major return_carry reverse keep_order")
_RUN = CallSpec(
    params=words("inputs initial_carry init_key seq_lengths return_carry time_major reverse keep_order"),
    keywords={"init_key": "rngs"},
    convert={"init_key": _rngs_from_key},
)


_PAIR = {
    "sizes": (Size("in_features", LastDim(1)), Size("hidden_features", CarryDim("features", pairs=True)))
}


def _cell(name: str, nnx: str | None, **changes: Any) -> LayerSpec:
    return LayerSpec(f"flax.linen.{name}", nnx and f"flax.nnx.{nnx}", **{**_CELL, **changes})


SPECS = (
    _cell("LSTMCell", "LSTMCell", **_PAIR, leaves=_dense("ii if ig io hi hf hg ho", "hi hf hg ho")),
    _cell("OptimizedLSTMCell", "OptimizedLSTMCell", **_PAIR, adjust=_optimized_lstm, leaves=_fused_lstm),
    _cell("GRUCell", "GRUCell", adjust=_gru, leaves=_gru_leaves),
    _cell(
        "MGUCell",
        None,
        helper="MGUCell",
        fields=words(
            f"{_GATED} forget_bias_init activation_bias_init dtype param_dtype carry_init reset_gate"
        ),
        defaults={**DTYPES, "reset_gate": True},
        leaves=_mgu_leaves,
    ),
    _cell(
        "SimpleCell",
        "SimpleCell",
        fields=words(
            "features activation_fn kernel_init recurrent_kernel_init bias_init dtype param_dtype carry_init "
            "residual"
        ),
        defaults={**DTYPES, "residual": False},
        adjust=_simple_cell,
        leaves=_simple_leaves,
    ),
    _cell(
        "ConvLSTMCell",
        None,
        helper="ConvLSTMCell",
        fields=words("features kernel_size strides padding use_bias dtype param_dtype carry_init"),
        defaults={**DTYPES, "strides": None, "padding": "SAME", "use_bias": True},
        required=("features", "kernel_size"),
        sizes=(Size("in_features", LastDim(1)),),
        positional=("in_features", "hidden_features", "kernel_size"),
        sequences=frozenset({"kernel_size", "strides", "padding"}),
        leaves=_conv_lstm_leaves,
    ),
    LayerSpec(
        linen="flax.linen.RNN",
        nnx="flax.nnx.RNN",
        required=("cell",),
        fields=("cell", *_RUN_SWITCHES, "unroll", *_LIFTING),
        defaults={**dict.fromkeys(_RUN_SWITCHES, False), "unroll": 1, "variable_carry": False},
        positional=("cell",),
        own=frozenset(_LIFTING),
        children=(Child("cell", ("cell",), call_args=(None, 0)),),
        needs_rngs=False,
        adjust=_rnn_scan,
        call=_RUN,
    ),
    LayerSpec(
        linen="flax.linen.Bidirectional",
        nnx="flax.nnx.Bidirectional",
        required=words("forward_rnn backward_rnn"),
        fields=words("forward_rnn backward_rnn merge_fn time_major return_carry"),
        defaults={"time_major": False, "return_carry": False},
        positional=("forward_rnn", "backward_rnn"),
        children=(Child("forward_rnn", ("forward_rnn",)), Child("backward_rnn", ("backward_rnn",))),
        needs_rngs=False,
        call=_RUN,
    ),
)
