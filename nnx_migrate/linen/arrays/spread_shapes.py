"""Shapes with a part of unknown length: `(batch, *self.image_shape, features)`."""

from __future__ import annotations

from dataclasses import dataclass, field

from nnx_migrate.linen.arrays.leads import split_lead
from nnx_migrate.linen.arrays.shapes import Shape, Unmodelled
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.values import Expr


@dataclass(frozen=True)
class SpreadShape(Shape):
    """`(*front, *spread, *dims)`, where only a run tells how many sizes `spread` holds.

    Where nothing stands behind the spread sequence, its own last item is the last of `dims`.
    """

    front: Shape = field(default_factory=Shape)
    spread: str = ""  # the expression of the sequence, in the constructor; "" if it has none


@dataclass(frozen=True)
class Sizes(Expr):
    """A sequence of sizes that the constructor can compute; `shape` is what is known of them."""

    shape: Shape = field(default_factory=Shape, compare=False)


def fitted(target: Shape, like: Shape) -> Shape:
    """`target` where it has as many axes as `like`, which tells how many sizes its spread sequence holds."""
    if not isinstance(target, SpreadShape):
        return target
    front = target.front
    ends = split_lead(front.lead or ""), split_lead(like.lead or "")
    if front.exact and like.exact:
        count = len(like.dims) - len(front.dims)
    elif ends[0][0] and ends[0][0] == ends[1][0]:
        count = len(like.dims) - ends[1][1] - (len(front.dims) - ends[0][1])
    else:
        return target
    count -= len(target.dims)
    if count < 0:
        raise Unmodelled("resize to another rank")
    unnamed = Dim.unknown("a size of a sequence that isn't known")
    sizes = (Dim.size(f"{target.spread}[{i}]") if target.spread else unnamed for i in range(count))
    return Shape((*front.dims, *sizes, *target.dims), front.lead)
