"""Elementwise functions, reductions and creation against JAX."""

from __future__ import annotations

import random
from collections.abc import Iterator

from nnx_migrate.linen.arrays.shapes import Array, Global
from nnx_migrate.linen.dims import Dim
from tests.linen.oracle import Case, Dice, judge

UNARY = [
    "jax.numpy.exp",
    "jax.numpy.abs",
    "jax.numpy.sin",
    "jax.numpy.square",
    "jax.numpy.isnan",
    "jax.numpy.floor",
    "jax.nn.relu",
    "jax.nn.gelu",
    "jax.nn.silu",
    "jax.nn.softplus",
    "jax.nn.tanh",
    "jax.nn.sigmoid",
    "jax.nn.hard_tanh",
    "flax.linen.swish",
    "flax.linen.relu",
    "flax.linen.elu",
    "flax.linen.leaky_relu",
    "jax.lax.rsqrt",
    "jax.lax.stop_gradient",
    "jax.numpy.sign",
    "jax.numpy.nan_to_num",
    "jax.nn.squareplus",
    "jax.scipy.special.logit",
    "jax.numpy.negative",
    "jax.numpy.ceil",
    "jax.numpy.rint",
    "jax.numpy.logical_not",
    "jax.numpy.copy",
    "jax.nn.celu",
    "jax.nn.selu",
    "jax.nn.mish",
]
BINARY = [
    "jax.numpy.add",
    "jax.numpy.subtract",
    "jax.numpy.multiply",
    "jax.numpy.divide",
    "jax.numpy.maximum",
    "jax.numpy.minimum",
    "jax.numpy.power",
    "jax.numpy.greater",
    "jax.numpy.equal",
    "jax.numpy.logical_and",
    "jax.numpy.arctan2",
    "jax.numpy.mod",
    "jax.numpy.floor_divide",
    "jax.numpy.logaddexp",
    "jax.numpy.isclose",
]
FLOAT_ONLY = {"jax.lax.rsqrt", "jax.scipy.special.logit"}


def elementwise(dice: Dice) -> Iterator[Case]:
    while True:
        roll = dice.random()
        if roll < 0.4:
            name = dice.choice(UNARY)
            kinds = ["float"] if name in FLOAT_ONLY else ["float", "int", "bool"]
            yield Case(name, (dice.array(dtype=dice.choice(kinds)),))
        elif roll < 0.75:
            dims = dice.dims()
            other = dice.broadcastable(dims)
            pair = [Array.of(*dims, dtype=dice.choice(["float", "int"])), Array.of(*other, dtype="float")]
            if dice.random() < 0.2:
                pair[1] = dice.choice([2.5, 3, Dim.size("n")])
            dice.rng.shuffle(pair)
            yield Case(dice.choice(BINARY), tuple(pair))
        elif roll < 0.85:
            dims = dice.dims(1, 4)
            mask, one, other = (dice.broadcastable(dims) for _ in range(3))
            parts = (
                Array.of(*mask, dtype="bool"),
                Array.of(*one, dtype="float"),
                Array.of(*other, dtype="float"),
            )
            yield Case("jax.numpy.where", dice.choice([parts, (parts[0], parts[1], 0.0)]))
        elif roll < 0.9:
            yield Case("jax.numpy.clip", (dice.array(), 0.0, dice.choice([None, 1.0])))
        elif roll < 0.95:
            array = dice.array(1, 4)
            yield Case("jax.nn.glu", (array,), {"axis": dice.axis(len(array.shape.dims))})
        else:
            yield Case(
                ".astype", (dice.array(), Global(f"jax.numpy.{dice.choice(['int32', 'bfloat16', 'bool_'])}"))
            )


REDUCTIONS = [
    "sum",
    "mean",
    "max",
    "min",
    "prod",
    "any",
    "all",
    "var",
    "std",
    "amax",
    "amin",
    "nansum",
    "nanmean",
    "nanmax",
    "median",
    "ptp",
    "count_nonzero",
]
METHODS = [".sum", ".mean", ".max", ".min", ".prod", ".any", ".all", ".var", ".std"]
ARG = ["jax.numpy.argmax", "jax.numpy.argmin", ".argmax"]
LOG_SUM = ["jax.nn.logsumexp", "jax.scipy.special.logsumexp"]
RUNNING = ["jax.numpy.cumsum", "jax.numpy.cumprod", ".cumsum"]
SOFT = ["jax.nn.softmax", "flax.linen.log_softmax", "jax.nn.standardize"]


def reductions(dice: Dice) -> Iterator[Case]:
    while True:
        array = dice.array(dtype=dice.choice(["float", "int"]))
        rank = len(array.shape.dims)
        axes, keepdims = dice.axes(rank), dice.random() < 0.4
        roll = dice.random()
        if roll < 0.5:
            name = dice.choice([f"jax.numpy.{name}" for name in REDUCTIONS] + METHODS)
            keywords = {"axis": axes, "keepdims": keepdims}
            yield Case(name, (array,), keywords) if dice.random() < 0.8 else Case(name, (array, axes))
        elif roll < 0.6:
            axis = None if rank == 0 or dice.random() < 0.3 else dice.axis(rank)
            yield Case(dice.choice(ARG), (array, axis), {"keepdims": keepdims})
        elif roll < 0.7:
            yield Case(dice.choice(LOG_SUM), (array, axes), {"keepdims": keepdims})
        elif roll < 0.8 and rank:
            yield Case(dice.choice(RUNNING), (array,), {"axis": dice.choice([None, dice.axis(rank)])})
        elif roll < 0.9 and rank:
            floats = Array(array.shape, "float")
            yield Case(dice.choice(SOFT), (floats,), {"axis": dice.axis(rank)})
        elif roll < 0.95 and rank in (1, 2):
            yield Case(
                "jax.numpy.linalg.norm", (array,), {"axis": dice.choice([None, -1]), "keepdims": keepdims}
            )
        elif rank:
            yield Case(
                "jax.numpy.quantile", (Array(array.shape, "float"), 0.5), {"axis": axes, "keepdims": keepdims}
            )


def creation(dice: Dice) -> Iterator[Case]:
    while True:
        shape = tuple(dice.dims(0, 3))
        one = dice.dim()
        roll = dice.randint(0, 13)
        if roll == 0:
            name = dice.choice(["zeros", "ones", "empty"])
            yield Case(f"jax.numpy.{name}", (dice.choice([shape, list(shape), one]),))
        elif roll == 1:
            yield Case("jax.numpy.full", (shape, dice.choice([1.0, 2, True])))
        elif roll == 2:
            yield Case(f"jax.numpy.{dice.choice(['zeros', 'ones'])}_like", (dice.array(dtype="int"),))
        elif roll == 3:
            bounds = (one,) if dice.random() < 0.5 else (dice.randint(-2, 2), one)
            yield Case("jax.numpy.arange", bounds)
        elif roll == 4:
            yield Case(
                "jax.numpy.arange", (0, one, dice.randint(1, 3)), {"dtype": Global("jax.numpy.float32")}
            )
        elif roll == 5:
            yield Case("jax.numpy.linspace", (0.0, 1.0, one))
        elif roll == 6:
            yield Case(
                "jax.numpy.linspace", (dice.array(0, 2), 1.0), {"num": one, "axis": dice.choice([0, -1])}
            )
        elif roll == 7:
            yield Case("jax.numpy.eye", dice.choice([(one,), (one, dice.dim())]))
        elif roll == 8:
            array = dice.array(0, 3, "int")
            rank = len(array.shape.dims)
            yield Case("jax.nn.one_hot", (array, one), {"axis": dice.choice([-1, dice.randint(0, rank)])})
        elif roll == 9:
            vectors = tuple(dice.array(0, 1) for _ in range(dice.randint(1, 3)))
            keywords = {"indexing": dice.choice(["xy", "ij"]), "sparse": dice.random() < 0.3}
            yield Case("jax.numpy.meshgrid", vectors, keywords)
        elif roll == 10:
            yield Case("jax.numpy.array", (dice.choice([[1, 2], [[1.0, 2.0]], 3.0, (dice.array(),) * 2]),))
        elif roll == 11:
            yield Case("jax.numpy.tril", (dice.array(2, 3),))
        elif roll == 12:
            yield Case("jax.numpy.arange", (one, -1, -dice.randint(1, 3)))
        else:
            yield Case("jax.numpy.broadcast_arrays", (dice.array(2, 2), dice.array(0, 0)))


def take(count: int, cases: Iterator[Case]) -> list[Case]:
    return [next(cases) for _ in range(count)]


def test_elementwise_functions_agree_with_jax() -> None:
    rng = random.Random(1)
    tally = judge(take(100, elementwise(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 130


def test_reductions_agree_with_jax() -> None:
    rng = random.Random(2)
    tally = judge(take(100, reductions(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 130


def test_created_arrays_agree_with_jax() -> None:
    rng = random.Random(3)
    tally = judge(take(100, creation(Dice(rng))), rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > 130
