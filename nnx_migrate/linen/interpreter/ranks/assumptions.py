"""What conditions say about the arrays they look at: `x.ndim == 2`, `len(x.shape) == 1`, `a.shape != b.shape`."""

from __future__ import annotations

import ast

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_shape, effect_value, input_array
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.ranks.patterns import array_of_rank
from nnx_migrate.linen.values import Input

_SCALAR_TESTS = frozenset({"jax.numpy.isscalar", "numpy.isscalar"})


def assume_ranks(frame: Frame, test: ast.expr, *, holds: bool, inputs: bool = True) -> None:
    """Where `x.ndim == 2` holds, `x` has two axes. Without `inputs`, arguments stay as they are."""
    for name, rank in _ranks(frame, test, holds).items():
        slot = frame.env.get(name)
        if slot is None or (isinstance(slot.value, Input) and not inputs):
            continue
        value = effect_value(frame.session, slot.value)
        if not isinstance(value, Array) or value.shape.exact:
            continue
        if len(value.shape.dims) <= rank or value.shape.whole:
            dims = tuple(value.shape.dim(axis) for axis in range(-rank, 0))
            frame.bind(name, Array(Shape(dims), value.dtype, value.weak), slot.static)


def _ranks(frame: Frame, test: ast.expr, holds: bool) -> dict[str, int]:
    """The ranks that variables have where a condition holds (or doesn't)."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _ranks(frame, test.operand, not holds)
    if isinstance(test, ast.BoolOp):
        parts = [
            _ranks(frame, part, holds) for part in test.values if not (holds and _asks_if_none(frame, part))
        ]
        if isinstance(test.op, ast.And) is holds:  # all of them hold (none of them does)
            return {name: rank for part in reversed(parts) for name, rank in part.items()}
        first = parts[0] if parts else {}
        return {n: r for n, r in first.items() if all(part.get(n) == r for part in parts)}
    if isinstance(test, ast.Call) and holds and len(test.args) == 1 and isinstance(test.args[0], ast.Name):
        module = frame.module
        name = frame.session.program.project.resolve(test.func, module.scope_at(test), module)
        return {test.args[0].id: 0} if name in _SCALAR_TESTS else {}
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Eq if holds else ast.NotEq):
            array, rank = array_of_rank(test.left), test.comparators[0]
            if isinstance(array, ast.Name) and isinstance(rank, ast.Constant) and type(rank.value) is int:
                return {array.id: rank.value}
    return {}


def _asks_if_none(frame: Frame, test: ast.expr) -> bool:
    """Whether a condition is `c is None`, and `c` is an array."""
    if not (
        isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is) and isinstance(test.left, ast.Name)
    ):
        return False
    slot, other = frame.env.get(test.left.id), test.comparators[0]
    none = isinstance(other, ast.Constant) and other.value is None
    return none and slot is not None and isinstance(slot.value, Array)


def assume_equal_shapes(frame: Frame, test: ast.expr) -> None:
    """Where `a.shape != b.shape` doesn't hold, `a` has the sizes of `b`."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.NotEq)):
        return
    slots = []
    for side in (test.left, test.comparators[0]):
        name = _shape_of(side)
        if name is None:
            return
        slots.append((name, frame.env.get(name)))
    (name, slot), (_, other) = slots
    if slot is None or other is None:
        return
    first, second = (
        input_array(frame.session, s.value) if isinstance(s.value, Input) else s.value for s in (slot, other)
    )
    exact = (
        isinstance(first, Array) and isinstance(second, Array) and first.shape.exact and second.shape.exact
    )
    if exact and len(first.shape.dims) == len(second.shape.dims):
        frame.bind(name, Array(second.shape, first.dtype, first.weak), slot.static)


def assume_shape(frame: Frame, test: ast.expr) -> None:
    """Behind `assert x.shape == (n, size)`, the sizes of `x` are what stands there, if that is said in fewer words."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return
    name = _shape_of(test.left)
    slot = frame.env.get(name) if name is not None else None
    if name is None or slot is None or not isinstance(slot.value, Array):
        return
    stated = evaluate(frame, test.comparators[0])
    shape = stated if isinstance(stated, Shape) else as_shape(stated)
    own = slot.value.shape
    if shape is None or not shape.exact or len(own.dims) > len(shape.dims):
        return
    if own.exact and len(own.dims) < len(shape.dims):
        return
    pairs = zip(own.with_last(len(shape.dims)).dims, shape.dims, strict=True)
    dims = tuple(theirs if _says_more(theirs, mine) else mine for mine, theirs in pairs)
    frame.bind(name, Array(Shape(dims), slot.value.dtype, slot.value.weak), slot.static)


def _says_more(stated: Dim, found: Dim) -> bool:
    return stated.known and (not found.known or len(stated.text()) < len(found.text()))


def _shape_of(node: ast.expr) -> str | None:
    """`x` for `x.shape`; None for other expressions."""
    if isinstance(node, ast.Attribute) and node.attr == "shape" and isinstance(node.value, ast.Name):
        return node.value.id
    return None
