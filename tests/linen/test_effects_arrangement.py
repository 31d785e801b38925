"""Reshaping, joining, splitting, indexing and gathering against JAX."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.dims import Dim, product
from nnx_migrate.linen.effects.registry import method
from tests.linen.oracle import Case, Dice, judge, size


def regrouped(dice: Dice, dims: list[Dim]) -> list[Any]:
    """A shape of the same number of elements: neighbours merged, ones added, maybe a -1."""
    groups: list[list[Dim]] = []
    for dim in dims:
        if groups and dice.random() < 0.4:
            groups[-1].append(dim)
        else:
            groups.append([dim])
    target: list[Any] = [product(group) for group in groups]
    if dice.random() < 0.3:
        target.insert(dice.randint(0, len(target)), 1)
    if target and dice.random() < 0.6:
        target[dice.randint(0, len(target) - 1)] = -1
    return target


def split_last(dice: Dice, dims: list[Dim]) -> tuple[list[Dim], list[Any]]:
    """An array whose last axis is a product, and the shape with it split."""
    parts = [dice.dim(), dice.dim()]
    target: list[Any] = [*dims, *parts]
    target[dice.randint(0, len(target) - 1)] = -1
    return [*dims, product(parts)], target


def reshaping(dice: Dice) -> Iterator[Case]:
    while True:
        dims = dice.dims(0, 4)
        array, rank = Array.of(*dims, dtype="float"), len(dims)
        roll = dice.randint(0, 12)
        if roll <= 2:
            target = regrouped(dice, dims)
            form = dice.randint(0, 2)
            if form == 0 and target:
                yield Case(".reshape", (array, *target))
            elif form == 1:
                yield Case(".reshape", (array, tuple(target)))
            else:
                yield Case("jax.numpy.reshape", (array, target))
        elif roll == 3:
            whole, target = split_last(dice, dims)
            yield Case(".reshape", (Array.of(*whole, dtype="float"), *target))
        elif roll == 4:
            yield Case(dice.choice([".ravel", ".flatten", "jax.numpy.ravel"]), (array,))
        elif roll == 5:
            order = dice.sample(range(rank), rank)
            order = [axis - rank if dice.random() < 0.3 else axis for axis in order]
            if dice.random() < 0.3:
                yield Case(".transpose", (array,))
            elif dice.random() < 0.5:
                yield Case(".transpose", (array, *order))
            else:
                yield Case("jax.numpy.transpose", (array, tuple(order)))
        elif roll == 6 and rank:
            yield Case(
                dice.choice([".swapaxes", "jax.numpy.swapaxes"]), (array, dice.axis(rank), dice.axis(rank))
            )
        elif roll == 7 and rank:
            if dice.random() < 0.5:
                yield Case("jax.numpy.moveaxis", (array, dice.axis(rank), dice.axis(rank)))
            else:
                count = dice.randint(1, rank)
                places = [tuple(dice.sample(range(rank), count)) for _ in range(2)]
                yield Case("jax.numpy.moveaxis", (array, *places))
        elif roll == 8:
            count = dice.randint(1, 2)
            places = tuple(dice.sample(range(-rank - count, rank + count), count))
            yield Case("jax.numpy.expand_dims", (array, dice.choice([places, places[0]])))
        elif roll == 9:
            ones = [Dim.of(1) if dice.random() < 0.5 else dim + 1 for dim in dims]
            axes = [i for i, dim in enumerate(ones) if dim == 1]
            axis = dice.choice([None, tuple(axes), axes[0] if axes else None])
            yield Case(dice.choice([".squeeze", "jax.numpy.squeeze"]), (Array.of(*ones, dtype="float"), axis))
        elif roll == 10:
            yield Case(
                "jax.numpy.broadcast_to", (Array.of(*dice.broadcastable(dims), dtype="float"), tuple(dims))
            )
        elif roll == 11 and rank:
            yield Case(f"jax.numpy.{dice.choice(['flip', 'roll'])}", (array, dice.axis(rank)))
        elif rank >= 2:
            yield Case("jax.numpy.rot90", (array, dice.randint(0, 3)))


def joining(dice: Dice) -> Iterator[Case]:
    while True:
        dims = dice.dims(1, 3)
        rank = len(dims)
        axis = dice.axis(rank)
        others = []
        for _ in range(dice.randint(1, 2)):
            other = list(dims)
            other[axis] = dice.dim()
            others.append(Array.of(*other, dtype=dice.choice(["float", "int"])))
        array = Array.of(*dims, dtype="float")
        roll = dice.randint(0, 12)
        if roll <= 1:
            yield Case("jax.numpy.concatenate", ([array, *others],), {"axis": axis})
        elif roll == 2:
            yield Case("jax.numpy.stack", ([array] * dice.randint(1, 3), dice.randint(-rank - 1, rank)))
        elif roll == 3:
            name = dice.choice(["hstack", "vstack", "dstack", "column_stack"])
            yield Case(f"jax.numpy.{name}", ([array, array],))
        elif roll == 4:
            count = dice.randint(1, 3)
            dims[axis] = dims[axis] * count
            yield Case("jax.numpy.split", (Array.of(*dims, dtype="float"), count), {"axis": axis})
        elif roll == 5:
            points = sorted(dice.randint(0, 5) for _ in range(dice.randint(1, 2)))
            name = dice.choice(["split", "array_split"])
            yield Case(f"jax.numpy.{name}", (array, points, axis))
        elif roll == 6:
            yield Case("jax.numpy.array_split", (array, dice.randint(1, 4)), {"axis": axis})
        elif roll == 7:
            keywords = {"axis": dice.choice([None, axis])}
            yield Case(
                dice.choice(["jax.numpy.repeat", ".repeat"]), (array, dice.choice([2, dice.dim()])), keywords
            )
        elif roll == 8:
            reps = tuple(dice.choice([1, 2, dice.dim()]) for _ in range(dice.randint(1, 4)))
            yield Case("jax.numpy.tile", (array, dice.choice([reps, 2])))
        elif roll == 9:
            widths: Any = [(dice.randint(0, 2), dice.randint(0, 2)) for _ in dims]
            if dice.random() < 0.4:
                widths = dice.choice([1, (1, 2), [(1, 2)], ((0, 0),) * (rank - 1) + ((1, 3),)])
            yield Case("jax.numpy.pad", (array, widths), {"mode": dice.choice(["constant", "edge"])})
        elif roll == 10:
            config = [(dice.randint(0, 2), dice.randint(0, 2), dice.randint(0, 1)) for _ in dims]
            yield Case("jax.lax.pad", (array, 0.0, config))
        elif roll == 11:
            yield Case("jax.numpy.append", (array, others[0], dice.choice([None, axis])))
        else:
            yield Case("jax.numpy.diff", (array,), {"axis": axis})


def index_item(dice: Dice, dim: Dim) -> Any:
    """Something that takes one axis."""
    roll = dice.random()
    if roll < 0.3:
        return slice(None)
    if roll < 0.5:
        return dice.choice([0, -1])
    if roll < 0.9:
        bounds = [None, None, 0, 1, 2, -1, -2, dim // 2, dim - 1, size("m")]
        return slice(dice.choice(bounds), dice.choice(bounds), dice.choice([None, None, 1, 2]))
    return Array.of(*dice.dims(0, 2), dtype="int")


def indexing(dice: Dice) -> Iterator[Case]:
    while True:
        dims = dice.dims(1, 4)
        items = [index_item(dice, dim) for dim in dims[: dice.randint(0, len(dims))]]
        if dice.random() < 0.3 and len(items) < len(dims):
            items = [..., *items] if dice.random() < 0.6 else [*items, ...]
        if dice.random() < 0.3:
            items.insert(dice.randint(0, len(items)), None)
        if items:
            yield Case("[]", (Array.of(*dims, dtype="float"), items[0] if len(items) == 1 else tuple(items)))


def gathering(dice: Dice) -> Iterator[Case]:
    while True:
        array = dice.array(1, 3)
        rank = len(array.shape.dims)
        axis = dice.axis(rank)
        indices = dice.array(0, 2, "int")
        roll = dice.randint(0, 8)
        if roll == 0:
            yield Case(
                dice.choice(["jax.numpy.take", ".take"]),
                (array, indices),
                {"axis": dice.choice([None, axis])},
            )
        elif roll == 1:
            other = list(array.shape.dims)
            other[axis] = dice.dim()
            yield Case("jax.numpy.take_along_axis", (array, Array.of(*other, dtype="int"), axis))
        elif roll == 2:
            yield Case("jax.lax.dynamic_slice_in_dim", (array, 0, 1, axis))
        elif roll == 3:
            yield Case("jax.lax.dynamic_index_in_dim", (array, 0, axis, dice.choice([True, False])))
        elif roll == 4:
            yield Case("jax.lax.top_k", (array, 1))
        elif roll == 5:
            name = dice.choice(["jax.numpy.sort", "jax.numpy.argsort", ".sort"])
            yield Case(name, (array,), {"axis": dice.choice([None, axis])})
        elif roll == 6:
            ids = Array.of(array.shape.dims[0], dtype="int")
            yield Case("jax.ops.segment_sum", (array, ids), {"num_segments": dice.dim()})
        elif roll == 7:
            yield Case("jax.lax.dynamic_slice", (array, (0,) * rank, (1,) * rank))
        else:
            yield Case("jax.lax.slice_in_dim", (array, 0, 1), {"axis": axis})


def take(count: int, cases: Iterator[Case]) -> list[Case]:
    return [next(cases) for _ in range(count)]


def test_reshaping_agrees_with_jax() -> None:
    rng = random.Random(4)
    tally = judge(take(150, reshaping(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 200


def test_joining_and_splitting_agree_with_jax() -> None:
    rng = random.Random(5)
    tally = judge(take(150, joining(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 200


def test_indexing_agrees_with_jax() -> None:
    rng = random.Random(6)
    tally = judge(take(200, indexing(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 250


def test_gathering_agrees_with_jax() -> None:
    rng = random.Random(7)
    tally = judge(take(120, gathering(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 180


def test_a_reshape_tells_the_sizes_of_an_unknown_array() -> None:
    reshape, unknown, n = method("reshape"), Unknown("anything"), Dim.size("n")
    assert reshape is not None
    flat, whole = reshape(unknown, -1, n), reshape(unknown, (2, n))
    assert isinstance(flat, Array) and isinstance(whole, Array)
    assert not flat.shape.dims[0].known and flat.shape.dims[1] == n
    assert whole.shape.dims == (Dim.of(2), n)
    assert isinstance(reshape(unknown, -1, -1), Unknown)
    vague = reshape(unknown, -1, Dim.symbol("k"))  # `k` may be -1: code that fails, or that isn't known
    assert isinstance(vague, Array) and not vague.shape.dims[1].known
