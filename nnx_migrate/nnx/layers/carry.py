"""The initial carry of recurrent cells: Linen's `initialize_carry(key, input_shape)` in NNX."""

from __future__ import annotations

import ast
from collections.abc import Callable

from nnx_migrate.nnx.layers.binding import bind_call, value_of
from nnx_migrate.nnx.layers.judge import Judge
from nnx_migrate.nnx.layers.model import ArgumentEdit, BoundArgs, CallRewrite, CallSpec, LayerSpec, Refusal

_SIGNATURE = CallSpec(params=("rng", "input_shape"), positional=2)
_PAIRS = {"LSTMCell", "OptimizedLSTMCell", "ConvLSTMCell"}


def write_initialize_carry(
    call: ast.Call, segment: Callable[[ast.AST], str], *, nnx: str = "nnx"
) -> CallRewrite | Refusal:
    """Edits for `cell.initialize_carry(key, input_shape)` on a cell that the NNX model has.

    NNX takes the shape first and streams instead of a key. The carry is constant (other `carry_init` are
    refused at the construction), so the numbers do not depend on the key.
    """
    arguments = bind_call(_SIGNATURE, call)
    if isinstance(arguments, Refusal) or len(arguments) != 2:
        return _old_style(call)
    key, shape = (arguments[name] for name in _SIGNATURE.params)
    stream = segment(value_of(key))
    streams = f"{nnx}.Rngs(carry={'0' if stream == 'None' else stream})"  # a GRU cell never looks at its key
    if all(isinstance(node, ast.keyword) for node in (key, shape)):
        return CallRewrite((ArgumentEdit(key, f"rngs={streams}"),))
    first, second = call.args[0], (call.args[1] if len(call.args) > 1 else shape)
    return CallRewrite(
        (ArgumentEdit(first, segment(value_of(shape))), ArgumentEdit(second, streams)),
    )


def write_detached_carry(
    spec: LayerSpec,
    bound: BoundArgs,
    call: ast.Call,
    segment: Callable[[ast.AST], str],
    *,
    jnp: str,
    judge: Judge | None = None,
) -> str | Refusal:
    """The initial carry of a cell that is built only for it: `nn.GRUCell(8).initialize_carry(key, (b, 8))`.

    An NNX cell can't be built without its input width and parameters, so this writes what the method returns,
    `jnp.zeros` of the shape (twice for LSTM cells). `call` is the call of `initialize_carry`.
    """
    judge = judge or Judge()
    arguments = bind_call(_SIGNATURE, call)
    if isinstance(arguments, Refusal) or len(arguments) != 2:
        return _old_style(call)
    if "carry_init" in bound.values or "kernel_size" in spec.fields or "features" not in bound.values:
        return Refusal(
            "no-counterpart", "this cell's initial carry can't be written without the cell", "", bound.call
        )
    shape = value_of(arguments["input_shape"])
    features = segment(bound.values["features"])
    dtype = bound.values.get("param_dtype")
    dims = _leading(judge.seen(shape), shape, segment)
    zeros = f"{jnp}.zeros(({dims}{features}{'' if dims else ','}){', ' + segment(dtype) if dtype else ''})"
    return f"({zeros}, {zeros})" if spec.name in _PAIRS else zeros


def _leading(seen: ast.expr, shape: ast.expr, segment: Callable[[ast.AST], str]) -> str:
    """The source of all dimensions but the last, each followed by a comma."""
    if (
        isinstance(seen, ast.Tuple)
        and seen is shape
        and seen.elts
        and not isinstance(seen.elts[-1], ast.Starred)
    ):
        return "".join(f"{segment(item)}, " for item in seen.elts[:-1])
    simple = isinstance(shape, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
    return f"*{segment(shape)}[:-1], " if simple else f"*({segment(shape)})[:-1], "


def _old_style(call: ast.Call) -> Refusal:
    return Refusal(
        "bad-arguments",
        "`initialize_carry` takes a key and an input shape; older Flax had `(key, batch_dims, size)`",
        "Bring the call to Flax 0.7 or newer first.",
        call,
    )
