"""Built-in cells in cells of the project that get their carry from outside: its size is theirs."""

from __future__ import annotations

from dataclasses import replace

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.given.carries import CELLS, takes_carries
from nnx_migrate.nnx.layers import BoundArgs, Refusal
from nnx_migrate.nnx.writer.construction.checked import checked


def sized_by_carry(cls: LinenClass, found: BoundArgs | Refusal) -> BoundArgs:
    """The arguments of a layer in a class, without `features` where the carry decides in its place. Raises Refuse."""
    bound: BoundArgs = checked(found)
    if bound.spec.name not in CELLS or not takes_carries(cls):
        return bound
    values = {name: node for name, node in bound.values.items() if name != "features"}
    return replace(bound, values=values, positional=bound.positional - {"features"})
