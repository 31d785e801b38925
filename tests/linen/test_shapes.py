"""Shapes of partly unknown rank, broadcasting, and what effects refuse to guess."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown, Unmodelled, broadcast
from nnx_migrate.linen.arrays.spread_shapes import SpreadShape
from nnx_migrate.linen.dims import Dim, fitting, maximum, same
from nnx_migrate.linen.effects import attribute, effect, method
from nnx_migrate.linen.effects.layers import Layer, layer
from nnx_migrate.linen.effects.layers.base import modelled_layers
from nnx_migrate.linen.effects.registry import modelled, modelled_methods

n, m, c = (Dim.size(name) for name in "nmc")
x = Array(Shape((c,), "x[:-1]"), "float")


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    transfer = method(name[1:]) if name.startswith(".") else effect(name)
    assert transfer is not None
    return transfer(*args, **kwargs)


def test_sizes_in_front_of_the_known_ones_are_named_after_the_array() -> None:
    assert x.shape.dim(-1) == c
    assert x.shape.dim(-2) == Dim.size("x§a-2")
    assert not x.shape.dim(0).known
    assert x.shape.with_last(3).lead == "x[:-3]"
    assert x.shape.rank is None


def test_equal_leading_axes_cancel_in_a_reshape() -> None:
    lead = x.shape.sliced(None, -1)
    heads = apply(".reshape", x, lead, 4, -1)
    assert heads.shape == Shape((Dim.of(4), c // 4), "x[:-1]")
    merged = apply(".reshape", heads, heads.shape.sliced(None, -2), -1)
    assert merged.shape == Shape((4 * (c // 4),), "x[:-1]")
    flat = apply(".reshape", x, x.shape.sliced(None, -2), -1)
    assert flat.shape == Shape((Dim.size("x§a-2") * c,), "x[:-2]")
    other = apply(".reshape", Array(Shape((c,), "y[:-1]")), lead, 4, -1)
    assert not other.shape.dims[-1].known


def test_a_size_that_may_be_minus_one_is_not_taken_for_a_size() -> None:
    array = Array.of(n, m)
    assert apply(".reshape", array, n, Dim.size("k")).shape.dims[-1] == Dim.size("k")
    assert not apply(".reshape", array, n, Dim.symbol("self.k")).shape.dims[-1].known


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (Shape.of(n, 1), Shape.of(m), Shape.of(n, m)),
        (Shape.of(n, 1), Shape.of(4), Shape.of(n, 4)),
        (Shape.of(n), Shape.of(4), Shape.of(4)),
        (Shape.of(n + 1), Shape.of(m), Shape.of(n + 1)),
        (Shape.of(n), Shape.of(n), Shape.of(n)),
        (Shape.of(1, n), Shape(), Shape.of(1, n)),
        (Shape.of(c, lead="x[:-1]"), Shape.of(c), Shape.of(c, lead="x[:-1]")),
        (Shape.of(c, lead="x[:-1]"), Shape.of(c, lead="x[:-1]"), Shape.of(c, lead="x[:-1]")),
        (Shape.of(c, lead="x[:-1]"), Shape.of(c, lead="y[:-1]"), Shape.of(c, lead="")),
    ],
)
def test_broadcasting(one: Shape, other: Shape, together: Shape) -> None:
    assert broadcast(one, other) == together
    assert broadcast(other, one) == together


def test_two_sizes_that_may_or_may_not_be_equal_broadcast_to_the_larger_one() -> None:
    (size,) = broadcast(Shape.of(n), Shape.of(m)).dims
    assert size == fitting(n, m) and size.text() == maximum(n, m).text()
    (hidden, last) = broadcast(Shape.of(n, c), Shape.of(c, lead="x[:-1]")).dims
    assert not hidden.known
    assert last == c


def test_sizes_that_never_fit_are_refused() -> None:
    with pytest.raises(Unmodelled):
        broadcast(Shape.of(3), Shape.of(4))
    assert isinstance(apply("jax.numpy.concatenate", [Array.of(2, 3), Array.of(2, 4)]), Unknown)
    assert isinstance(apply(".reshape", Array.of(2, 3), 4, 2), Unknown)
    assert isinstance(apply("jax.numpy.squeeze", Array.of(2, n)), Unknown)


def test_joins_keep_what_both_shapes_say() -> None:
    joined = Shape.of(n, m, c).join(Shape.of(n, 3, c))
    assert [dim.known for dim in joined.dims] == [True, False, True]
    assert Shape.of(n, c).join(Shape.of(c)) == Shape.of(c, lead="")
    assert Shape.of(c, lead="x[:-1]").join(Shape.of(c, lead="x[:-1]")) == Shape.of(c, lead="x[:-1]")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("jax.numpy.mean", (x, 1)),
        ("jax.numpy.split", (x, 3, 1)),
        ("jax.numpy.repeat", (x, 2, 1)),
        ("jax.numpy.concatenate", ([x, x], 1)),
        ("[]", (x, (slice(None), 0))),
    ],
)
def test_axes_counted_from_the_front_of_an_unknown_rank_are_not_guessed(
    name: str, args: tuple[Any, ...]
) -> None:
    result = apply(".__getitem__" if name == "[]" else name, *args)
    known = isinstance(result, Array) and any(dim.known for dim in result.shape.dims)
    assert not known


def test_indexing_behind_an_ellipsis_needs_no_rank() -> None:
    half = apply(".__getitem__", x, (..., slice(None, c // 2)))
    assert half.shape == Shape((c // 2,), "x[:-1]")
    first = apply(".__getitem__", x, (..., 0, slice(None)))
    assert first.shape == Shape((c,), "x[:-2]")
    new = apply(".__getitem__", x, (..., None))
    assert new.shape == Shape((c, Dim.of(1)), "x[:-1]")


def test_a_list_of_all_axes_tells_the_rank() -> None:
    turned = apply(".transpose", x, 0, 2, 1)
    assert turned.shape == Shape((Dim.size("x§a-3"), c, Dim.size("x§a-2")))
    assert apply("jax.numpy.einsum", "bnc->cb", x).shape == Shape((c, Dim.size("x§a-3")))


def test_newaxis_by_name() -> None:
    index = (..., Global("jax.numpy.newaxis"), slice(None))
    assert apply(".__getitem__", Array.of(n, c), index).shape == Shape.of(n, 1, c)


def test_an_unknown_operand_cannot_change_an_axis_longer_than_one() -> None:
    product = apply("jax.numpy.multiply", Array.of(n, 64), Unknown("a scale"))
    assert [dim.const for dim in product.shape.dims] == [None, 64]
    assert product.shape.dims[0].reason == "a scale"
    assert product.shape.lead == ""
    assert apply("jax.numpy.multiply", 2.0, Unknown("a scale")) == Unknown("a scale")


def test_computed_counts_leave_the_other_axes_known() -> None:
    count = Array.of(dtype="int")
    assert apply("jax.numpy.repeat", Array.of(n, c), count, axis=0).shape.dims[1] == c
    assert apply("jax.numpy.zeros", (count, c)).shape.dims[1] == c
    assert apply("jax.numpy.tile", x, (1, 1, 2)).shape == Shape((2 * c,), "")


def test_a_cell_whose_carry_is_unknown_still_returns_a_pair() -> None:
    cell = layer("flax.linen.LSTMCell").bind(c)  # type: ignore[union-attr]
    assert isinstance(cell, Layer)
    applied = cell.apply("__call__", Unknown("from a scan"), Array.of(n + 1, m))
    assert applied.sizes["in_features"] == m
    (_, hidden), output = applied.output  # type: ignore[misc]
    assert hidden == output
    assert output.shape.dims[0] == n + 1
    assert output.shape.dims[1] == c


def test_unknown_arguments_give_unknown_results_with_their_reason() -> None:
    reason = Unknown("read from a file")
    assert apply("jax.numpy.mean", x, axis=reason) == reason
    assert apply("jax.numpy.mean", x, axis=-1, keepdims=reason) == reason
    assert apply(".reshape", x, reason).reason == "read from a file"
    assert apply("jax.numpy.zeros", (n, reason)).shape.dims[1].reason == "read from a file"


def test_calls_that_do_not_fit_the_signature_are_unknown() -> None:
    assert isinstance(apply("jax.numpy.sum", x, axes=1), Unknown)
    assert isinstance(apply("jax.numpy.sum"), Unknown)


def test_attributes() -> None:
    array = Array.of(n, 3, dtype="float32")
    answers = {name: attribute(name)(array) for name in ("shape", "ndim", "size", "dtype", "T")}  # type: ignore[misc]
    assert answers == {
        "shape": Shape.of(n, 3),
        "ndim": Dim.of(2),
        "size": n * 3,
        "dtype": "float32",
        "T": Array.of(3, n, dtype="float32"),
    }
    assert not attribute("ndim")(x).known  # type: ignore[misc]


ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2,
    0.5,
    "SAME",
    "b h -> h",
    "...",
    (),
    (1, 2),
    [1, [2]],
    {"a": 1},
    slice(None, 2),
    ...,
    n,
    Dim.unknown("odd"),
    Unknown("odd"),
    Global("jax.numpy.float32"),
    Shape((c,), "x[:-1]"),
    Shape.of(0, 2),
    x,
    Array.of(),
    Array.of(n, m, 3, dtype="float32"),
    Array.of(Dim.unknown("odd"), dtype="int"),
    Array(Shape((), "")),
    [Array.of(2, 3), Array.of(2, 3)],
]


def test_no_value_makes_an_effect_fail() -> None:
    rng = random.Random(8)
    functions = [effect(name) for name in modelled()] + [method(name) for name in modelled_methods()]
    for transfer in functions:
        for _ in range(25):
            args = [rng.choice(ODD_VALUES) for _ in range(rng.randint(0, 4))]
            assert transfer is not None
            transfer(*args)


def test_no_value_makes_a_layer_fail() -> None:
    rng = random.Random(9)
    for name in modelled_layers():
        for _ in range(60):
            bound = layer(name).bind(*(rng.choice(ODD_VALUES) for _ in range(rng.randint(0, 3))))  # type: ignore[union-attr]
            if isinstance(bound, Layer):
                for each in (*bound.methods, "no_such_method"):
                    bound.apply(each, *(rng.choice(ODD_VALUES) for _ in range(rng.randint(0, 3))))


def test_the_same_lead_never_hides_different_axes() -> None:
    swapped = apply("jax.numpy.swapaxes", x, -1, -2)
    assert swapped.shape == Shape((c, Dim.size("x§a-2")), "x[:-2]")
    assert same(swapped.shape.dim(-3), Dim.size("x§a-3"))


def test_a_size_that_is_never_one_stays_beside_others() -> None:
    even = n // 2 * 2
    assert broadcast(Shape((even,)), Shape((n,))).dims == (even,)
    assert broadcast(Shape((2 * m,)), Shape((n,))).dims == (2 * m,)
    with pytest.raises(Unmodelled, match="do not broadcast"):
        broadcast(Shape((2 * m,)), Shape((2 * n + 1 + 2,)))


def test_images_are_resized_to_as_many_axes_as_they_have() -> None:
    image = Array(Shape((m, n, c), "x[:-3]"), "float")
    target = SpreadShape((c,), "", Shape((), "x[:-3]"), "self.size")
    resized = apply("jax.image.resize", image, target, "bilinear").shape
    assert resized == Shape((Dim.size("self.size[0]"), Dim.size("self.size[1]"), c), "x[:-3]")
    exact = apply(
        "jax.image.resize", Array.of(2, m, n, c), SpreadShape((c,), "", Shape.of(2)), "nearest"
    ).shape
    assert exact.rank == 4 and exact.dims[0] == 2 and exact.dims[-1] == c
    assert not exact.dims[1].known and not exact.dims[2].known
    other = apply("jax.image.resize", Array.of(2, c), SpreadShape((n, c), "", Shape.of(2)), "nearest")
    assert isinstance(other, Unknown) and "another rank" in other.reason
    elsewhere = SpreadShape((c,), "", Shape((), "y[:-3]"), "self.size")
    assert apply("jax.image.resize", image, elsewhere, "bilinear").shape.dims == (c,)
