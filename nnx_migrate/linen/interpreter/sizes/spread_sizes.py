"""Sizes that a sequence of unknown length gives among others: `(batch, *self.shape)`, `x.shape[:1] + self.shape`."""

from __future__ import annotations

from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.spread_shapes import Sizes, SpreadShape
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim, as_shape, size_at
from nnx_migrate.linen.values import Expr, Input

_MAY_BE_SIZES = (Expr, Unknown, Input, Array)


def together(parts: list[tuple[Any, bool]]) -> Shape | None:
    """The sizes of all parts in a row; each with whether it stands there as a sequence. None if these aren't sizes."""
    shape, are_sizes = Shape(), False
    for value, is_sequence in parts:
        if is_sequence:
            known = _known(value)
        else:
            dim = as_dim(value)
            known = None if dim is None else Shape((dim,))
        are_sizes |= known not in (None, Shape())
        if known is None and not isinstance(value, _MAY_BE_SIZES):
            return None
        if known is not None:
            shape = shape.then(*known.dims) if known.exact else shape.concat(known)
        elif is_sequence:
            shape = _spread(shape, value)
        else:
            shape = shape.then(Dim.unknown("a size that can't be followed"))
    return _ended(shape) if are_sizes else None


def in_a_row(parts: list[tuple[Any, bool]], text: str | None) -> Expr | Shape | None:
    """The sequence of all these parts, which `text` computes, as what is known of it; None if that is nothing."""
    shape = together(parts)
    if text is None:
        return shape
    return Expr(text, "sequence") if shape is None else Sizes(text, "sequence", shape=shape)


def _known(value: Any) -> Shape | None:
    """A sequence whose length is known, or that `Shape` describes."""
    if isinstance(value, Sizes | Shape):
        return value.shape if isinstance(value, Sizes) else value
    if isinstance(value, Expr) and value.kind == "sequence" and value.length is not None:
        return Shape(tuple(size_at(value, index) for index in range(value.length)))
    return as_shape(value)


def _spread(front: Shape, value: Any) -> Shape:
    if isinstance(front, SpreadShape):
        return Shape((), "")
    text = value.text if isinstance(value, Expr) and value.kind == "sequence" else ""
    return SpreadShape((), "", front, text)


def _ended(shape: Shape) -> Shape:
    """With the last size of a sequence at the end."""
    if isinstance(shape, SpreadShape) and not shape.dims and shape.spread:
        return shape.then(size_at(Expr(shape.spread, "sequence"), -1))
    return shape
