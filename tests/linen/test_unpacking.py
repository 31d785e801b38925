"""`a, *b, c = value`: every target gets something, whatever the value is known to be."""

from __future__ import annotations

import pytest

from nnx_migrate.linen.arrays.shapes import Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.frame import Frame, Session
from nnx_migrate.linen.interpreter.statements.unpacking import unpacked


@pytest.mark.parametrize("rank", range(5))
@pytest.mark.parametrize(("count", "starred"), [(1, 0), (2, 0), (2, 1), (3, 1), (4, 3)])
def test_axes_of_a_shape(rank: int, count: int, starred: int) -> None:
    """A known rank gives each axis its place; too few axes give nothing that is known."""
    shape = Shape(tuple(Dim.size(f"n{i}") for i in range(rank)))
    frame = Frame(Session(None, None), None, {})  # type: ignore[arg-type]
    items = unpacked(frame, shape, count, starred)
    assert len(items) == count
    if rank < count - 1:
        assert all(isinstance(item, Unknown) for item in items)
    else:
        rest = items[starred]
        assert isinstance(rest, Shape)
        assert [*items[:starred], *rest.dims, *items[starred + 1 :]] == list(shape.dims)
