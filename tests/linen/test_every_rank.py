"""Calls with arrays of unknown rank: what is the same for every number of leading axes."""

from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.ranks.every_rank import result_for_every_rank, sizes_for_every_rank

X = Array(Shape((Dim.size("n"),), "x[:-1]"))
OTHER = Array(Shape((Dim.size("n"),), "y[:-1]"))


def with_features(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return Array(args[0].shape.replaced(-1, 4, 5))


def test_leading_axes_stay() -> None:
    assert result_for_every_rank(with_features, (X,), {}) == Array(Shape.of(4, 5, lead="x[:-1]"))
    assert result_for_every_rank(with_features, (X,), {"mask": X}) is not None


def test_what_differs_by_the_rank() -> None:
    def by_rank(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return Array(args[0].shape.replaced(-1, len(args[0].shape.dims)))

    def of_some(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return with_features(args, kwargs) if len(args[0].shape.dims) != 4 else Unknown("not for these")

    def without_lead(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return Array.of(4)

    for call in (by_rank, of_some, without_lead):
        assert result_for_every_rank(call, (X,), {}) is None


def test_ranks_that_are_no_ones_or_several() -> None:
    assert result_for_every_rank(with_features, (X, OTHER), {}) is None
    assert result_for_every_rank(with_features, (Array.of(4, lead=""),), {}) is None


def test_code_that_needs_more_axes() -> None:
    def last_two(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Dim] | None:
        dims = args[0].shape.dims
        return list(dims[-2:]) if len(dims) > 1 else None

    assert sizes_for_every_rank(last_two, (X,), {}) == [Dim.size("x§a-2"), Dim.size("n")]
    assert sizes_for_every_rank(lambda args, kwargs: list(args[0].shape.dims), (X,), {}) is None
