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
    if "features" not in bound.values:
        return write_old_carry(spec.name, call, segment, jnp=jnp, judge=judge)
    arguments = bind_call(_SIGNATURE, call)
    if isinstance(arguments, Refusal) or len(arguments) != 2:
        return _old_style(call)
    if "carry_init" in bound.values or "kernel_size" in spec.fields:
        return Refusal(
            "no-counterpart", "this cell's initial carry can't be written without the cell", "", bound.call
        )
    shape = value_of(arguments["input_shape"])
    features = segment(bound.values["features"])
    dtype = bound.values.get("param_dtype")
    dims = _leading(shape, segment)
    zeros = f"{jnp}.zeros(({dims}{features}{'' if dims else ','}){', ' + segment(dtype) if dtype else ''})"
    return f"({zeros}, {zeros})" if spec.name in _PAIRS else zeros


def write_old_carry(
    name: str,
    call: ast.Call,
    segment: Callable[[ast.AST], str],
    *,
    jnp: str,
    judge: Judge | None = None,
) -> str | Refusal:
    """The initial carry in the form of older releases, `nn.GRUCell.initialize_carry(key, batch_dims, size)`.

    These had it as a static method of the cell, `name` without its package. It returned zeros of float32.
    """
    judge = judge or Judge()
    arguments = bind_call(_OLD_SIGNATURE, call)
    if name not in _WITH_OLD_CARRY or isinstance(arguments, Refusal) or len(arguments) not in (3, 4):
        return _old_style(call)
    init = arguments.get("init_fn")
    if init is not None and judge.name(value_of(init)) not in _ZEROS:
        return Refusal("no-counterpart", "a carry with an initializer of its own", "", call)
    if not {"rng", "batch_dims", "size"} <= arguments.keys() or not _is_key(
        value_of(arguments["rng"]), judge
    ):
        return _old_style(call)
    batch, size = value_of(arguments["batch_dims"]), segment(value_of(arguments["size"]))
    dims = _spread(batch, segment)
    zeros = f"{jnp}.zeros(({dims}{size}{'' if dims else ','}))"
    return f"({zeros}, {zeros})" if name in _PAIRS else zeros


def _is_key(node: ast.expr, judge: Judge) -> bool:
    """Whether an argument is certainly a key: in current releases a cell may stand there, and the key behind it."""
    return isinstance(node, ast.Call) and (judge.name(node.func) or "").startswith("jax.random.")


_OLD_SIGNATURE = CallSpec(params=("rng", "batch_dims", "size", "init_fn"), positional=4)
_WITH_OLD_CARRY = frozenset({"GRUCell", "LSTMCell", "OptimizedLSTMCell"})
_ZEROS = frozenset({"flax.linen.initializers.zeros", "jax.nn.initializers.zeros"})


def _leading(shape: ast.expr, segment: Callable[[ast.AST], str]) -> str:
    """The source of all dimensions but the last, each followed by a comma."""
    if isinstance(shape, ast.Tuple) and shape.elts and not isinstance(shape.elts[-1], ast.Starred):
        return "".join(f"{segment(item)}, " for item in shape.elts[:-1])
    if isinstance(shape, ast.BinOp) and isinstance(shape.op, ast.Add) and isinstance(shape.right, ast.Tuple):
        if shape.right.elts and not isinstance(shape.right.elts[-1], ast.Starred):
            return _spread(shape.left, segment) + _leading(shape.right, segment)
    simple = isinstance(shape, _OPERANDS)
    return f"*{segment(shape)}[:-1], " if simple else f"*({segment(shape)})[:-1], "


def _spread(sizes: ast.expr, segment: Callable[[ast.AST], str]) -> str:
    """The source of all sizes of a sequence, each followed by a comma."""
    if isinstance(sizes, ast.Tuple):
        return "".join(f"{segment(item)}, " for item in sizes.elts)
    return f"*{segment(sizes)}, " if isinstance(sizes, _OPERANDS) else f"*({segment(sizes)}), "


_OPERANDS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)


def _old_style(call: ast.Call) -> Refusal:
    return Refusal(
        "bad-arguments",
        "`initialize_carry` takes a key and an input shape; older Flax had `(key, batch_dims, size)`",
        "Bring the call to Flax 0.7 or newer first.",
        call,
    )
