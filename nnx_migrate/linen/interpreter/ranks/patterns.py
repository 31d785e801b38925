"""The rank of inputs, learned from code that only works for one: `B, H, W, C = x.shape`, a pattern, a transpose.

Inputs start with an unknown rank. Where the code shows it, `NeedRank` starts the analysis again with that
knowledge. Nothing is learned below a condition that looks at ranks: there, other ranks take other paths.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from nnx_migrate.linen.arrays.leads import counted_lead, split_front, split_lead
from nnx_migrate.linen.arrays.shapes import NO_RANK, Array, InnerAxes, Shape, Unmodelled
from nnx_migrate.linen.effects.einops_patterns import ELLIPSIS, parse
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame, NeedRank, Session
from nnx_migrate.linen.values import Input

_READS_RANKS = frozenset({"ndim", "shape"})


def rank_needed(frame: Frame, shape: Shape, rank: int, *, usual: bool = False) -> None:
    """The code works only if `shape` has `rank` axes: an input whose leading axes it shares has a known rank.

    With `usual`, it is only the rank that such inputs have as a rule: with one batch axis.
    """
    if shape.lead is None:
        return
    base, cut = split_lead(counted_lead(shape.lead))
    base, front = split_front(base)
    root = frame.session.root
    wanted = rank - len(shape.dims) + cut + front
    for path in root.inputs_seen:
        if base != Input(path).text or path in root.input_ranks or wanted < 1:
            continue
        if root.default_rank.ask() is None and may_learn(frame):
            raise NeedRank(path, wanted, usual)


def ranks_of_inputs(session: Session, array: Array, rank: int) -> dict[tuple[str | int, ...], int]:
    """The rank of the input whose leading axes an array of unknown rank has, if the array is to have `rank` axes."""
    if array.shape.lead is None:
        return {}
    base, cut = split_lead(counted_lead(array.shape.lead))
    base, front = split_front(base)
    wanted = rank - len(array.shape.dims) + cut + front
    return {path: wanted for path in session.inputs_seen if base == Input(path).text and wanted >= 1}


def may_learn(frame: Frame) -> bool:
    """Whether the code under interpretation runs whatever the ranks are."""
    return frame.session.may_learn and not any(_reads_rank(control.node) for control in frame.controls)


def _reads_rank(node: ast.AST) -> bool:
    test = getattr(node, "test", None)
    return test is not None and any(
        isinstance(n, ast.Attribute) and n.attr in _READS_RANKS for n in ast.walk(test)
    )


def learn_from_call(frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """What a call of a library function (or an array's method, the array first) says about its arguments."""
    lesson = _LESSONS.get(name)
    if lesson is not None:
        lesson(frame, args, kwargs)


def learn_from_pairs(frame: Frame, index: Any) -> None:
    """In `x[jnp.arange(n), lengths]`, there is a number for each row as a rule: one axis, that of the batch."""
    arrays = [item for item in index if isinstance(item, Array)] if isinstance(index, tuple) else []
    if any(array.shape.rank == 1 for array in arrays):
        for array in arrays:
            rank_needed(frame, array.shape, 1, usual=True)


def ranks_required(frame: Frame, test: ast.expr, *, forbidden: bool = False) -> None:
    """Take over the ranks that must hold behind a check: `assert x.ndim == 3`, `if x.ndim != 4: raise ...`.

    `forbidden` tells that the code goes on only where `test` is false. Raises NeedRank for inputs whose rank
    was not known yet.
    """
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or if forbidden else ast.And):
        for part in test.values:
            ranks_required(frame, part, forbidden=forbidden)
    given = None if forbidden else _if_given(test)
    if given is not None:
        ranks_required(frame, given)
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return
    if not isinstance(test.ops[0], ast.NotEq if forbidden else ast.Eq):
        return
    for measured, number in ((test.left, test.comparators[0]), (test.comparators[0], test.left)):
        array = array_of_rank(measured)
        if array is not None and isinstance(number, ast.Constant) and type(number.value) is int:
            _demand(frame, array, number.value)


def _if_given(test: ast.expr) -> ast.expr | None:
    """`c.ndim == 2` of `c is None or c.ndim == 2`: the rank that an argument has where it is given."""
    if not (isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) and len(test.values) == 2):
        return None
    first, second = test.values
    is_none = (
        isinstance(first, ast.Compare)
        and isinstance(first.ops[0], ast.Is)
        and isinstance(first.comparators[0], ast.Constant)
        and first.comparators[0].value is None
    )
    measured = array_of_rank(second.left) if isinstance(second, ast.Compare) else None
    same = is_none and measured is not None and ast.unparse(first.left) == ast.unparse(measured)  # type: ignore[attr-defined]
    return second if same else None


def array_of_rank(node: ast.expr) -> ast.expr | None:
    """`x` for `x.ndim` and `len(x.shape)`; None for other expressions."""
    if isinstance(node, ast.Attribute) and node.attr == "ndim":
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        (argument,) = node.args or (None,)
        if isinstance(argument, ast.Attribute) and argument.attr == "shape":
            return argument.value
    return None


def reads_rank(node: ast.AST) -> bool:
    """Whether an expression is the rank of something: `x.ndim`, `len(x.shape)`, `jnp.ndim(x)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "ndim":
        return True
    return isinstance(node, ast.expr) and array_of_rank(node) is not None


def _demand(frame: Frame, node: ast.expr, rank: int) -> None:
    value = effect_value(frame.session, evaluate(frame, node))
    if isinstance(value, Array) and not value.shape.exact:
        rank_needed(frame, value.shape, rank)


# ---- what single functions need ----------------------------------------------------------------------------


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, *names: str) -> Any:
    return args[index] if len(args) > index else next((kwargs[n] for n in names if n in kwargs), None)


def _as_long_as(index: int, *names: str, more: int = 0, usual: bool = False) -> Callable[..., None]:
    """The first argument has as many axes as another argument has items (and `more`)."""

    def lesson(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        items = _argument(args, kwargs, index, *names)
        if args and isinstance(args[0], Array) and isinstance(items, tuple | list):
            rank_needed(frame, args[0].shape, len(items) + more, usual=usual)

    return lesson


def _padded(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`jnp.pad(x, ((0, 0), (1, 1), (0, 0)))`: a pair for each axis, where there is more than one for all."""
    widths = _argument(args, kwargs, 1, "pad_width")
    if args and isinstance(args[0], Array) and isinstance(widths, tuple | list) and len(widths) > 1:
        if all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in widths):
            rank_needed(frame, args[0].shape, len(widths))


def _over_space(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`x.mean(axis=(1, 2))`: as a rule, the axes of an image between that of the batch and that of the channels."""
    axes = _argument(args, kwargs, 1, "axis")
    if args and isinstance(args[0], Array) and isinstance(axes, tuple | list) and len(axes) > 1:
        if list(axes) == list(range(1, len(axes) + 1)):
            rank_needed(frame, args[0].shape, len(axes) + 2, usual=True)


def _transpose_method(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    axes = args[1:]
    if len(axes) == 1 and isinstance(axes[0], tuple | list):
        axes = tuple(axes[0])
    if axes and isinstance(args[0], Array):
        rank_needed(frame, args[0].shape, len(axes))


def _equal_ranks(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    arrays = _argument(args, kwargs, 0, "arrays")
    axis = _argument(args, kwargs, 1, "axis")
    if not isinstance(arrays, tuple | list) or (axis is None and (len(args) > 1 or "axis" in kwargs)):
        return
    shapes = [array.shape for array in arrays if isinstance(array, Array)]
    exact = next((shape for shape in shapes if shape.exact), None)
    if exact is not None:
        for shape in shapes:
            rank_needed(frame, shape, len(exact.dims))


def _like_kernel(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    inputs, kernel = (_argument(args, kwargs, index, name) for index, name in enumerate(("lhs", "rhs")))
    if isinstance(inputs, Array) and isinstance(kernel, Array) and kernel.shape.exact:
        rank_needed(frame, inputs.shape, len(kernel.shape.dims))


def _einsum(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not args or not isinstance(args[0], str):
        return
    labels = args[0].replace(" ", "").partition("->")[0].split(",")
    for label, array in zip(labels, args[1:], strict=False):
        if isinstance(array, Array) and "..." not in label:
            rank_needed(frame, array.shape, len(label))


def _einops(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    pattern = _argument(args, kwargs, 1, "pattern")
    if not (args and isinstance(args[0], Array) and isinstance(pattern, str)):
        return
    try:
        left, _ = parse(pattern)
    except Unmodelled:
        return
    if ELLIPSIS not in left.names:
        rank_needed(frame, args[0].shape, len(left.groups))


_LESSONS: dict[str, Callable[..., None]] = {
    "jax.numpy.transpose": _as_long_as(1, "axes"),
    "jax.lax.transpose": _as_long_as(1, "permutation"),
    "transpose": _transpose_method,
    "jax.lax.conv_general_dilated": _like_kernel,
    "jax.lax.conv": _like_kernel,
    "jax.lax.conv_transpose": _like_kernel,
    "jax.lax.dynamic_slice": _as_long_as(1, "start_indices"),
    "jax.lax.reduce_window": _as_long_as(3, "window_dimensions"),
    "jax.image.resize": _as_long_as(1, "shape"),
    "jax.image.scale_and_translate": _as_long_as(1, "shape"),
    "jax.numpy.pad": _padded,
    "jax.numpy.concatenate": _equal_ranks,
    "jax.numpy.einsum": _einsum,
    "einops.rearrange": _einops,
    "einops.reduce": _einops,
    "einops.repeat": _einops,
    **dict.fromkeys(("jax.numpy.mean", "mean", "jax.numpy.max", "max"), _over_space),
    # One batch axis, as the documentation of the pooling functions has it.
    "flax.linen.max_pool": _as_long_as(1, "window_shape", more=2, usual=True),
    "flax.linen.avg_pool": _as_long_as(1, "window_shape", more=2, usual=True),
    "flax.linen.min_pool": _as_long_as(1, "window_shape", more=2, usual=True),
}


def inner_axes(frame: Frame, call: ast.Call) -> InnerAxes | None:
    """`range(1, x.ndim - 1)`: axes of an array of unknown rank; None for anything else."""
    *first, end = call.args or [ast.Constant(None)]
    front = first[0] if first else ast.Constant(0)
    last, back = end, ast.Constant(0)
    if isinstance(end, ast.BinOp) and isinstance(end.op, ast.Sub) and isinstance(end.right, ast.Constant):
        last, back = end.left, end.right
    array = array_of_rank(last)
    numbers = [n.value for n in (front, back) if isinstance(n, ast.Constant) and type(n.value) is int]
    if array is None or len(numbers) < 2 or min(numbers) < 0 or len(call.args) > 2:
        return None
    value = effect_value(frame.session, evaluate(frame, array))
    if not isinstance(value, Array) or value.shape.exact:
        return None
    return InnerAxes(NO_RANK, value.shape, *numbers)
