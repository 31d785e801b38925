"""Symbolic sizes: every rewrite must hold for all values of the symbols."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnx_migrate.linen.dims import (
    Dim,
    at_least,
    ceil_div,
    fitting,
    maximum,
    minimum,
    product,
    same,
)
from nnx_migrate.linen.dims.bounds import lower_bound
from nnx_migrate.linen.dims.choices import first_of
from nnx_migrate.linen.dims.division import exact_quotient

n, m, h, w = (Dim.size(name) for name in "nmhw")
dim = Dim.size("self.dim")

OPERATORS = ("+", "-", "*", "//", "%", "max", "min", "fits", "or")
FUNCTIONS = {"max": maximum, "min": minimum, "fits": fitting}


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[Dim, str]:
    """A dim and the expression that it was built from; `a` may be any integer, the others are sizes."""
    if depth == 0 or draw(st.booleans()):
        choice = draw(st.sampled_from(["n", "m", "h", "a", "number"]))
        if choice == "number":
            value = draw(st.integers(-4, 9))
            return Dim.of(value), f"({value})"
        return (Dim.symbol("a") if choice == "a" else Dim.size(choice)), choice
    left, left_text = draw(expressions(depth - 1))
    right, right_text = draw(expressions(depth - 1))
    operator = draw(st.sampled_from(OPERATORS))
    if operator in FUNCTIONS:
        return FUNCTIONS[operator](left, right), f"{operator}({left_text}, {right_text})"
    if operator == "or":
        return first_of([left, right]), f"({left_text} or {right_text})"
    results = {"+": Dim.__add__, "-": Dim.__sub__, "*": Dim.__mul__, "//": Dim.__floordiv__, "%": Dim.__mod__}
    return results[operator](left, right), f"({left_text} {operator} {right_text})"


VALUES = [
    dict(zip("nmha", values, strict=True))
    for values in itertools.product((1, 2, 7), (1, 5), (1, 4), (-3, 0, 6))
]


def run(text: str, values: dict[str, int]) -> int | None:
    """The value of the expression, None where it raises."""
    try:
        return eval(text, {"fits": _broadcast}, dict(values))
    except ZeroDivisionError:
        return None


def _broadcast(a: int, b: int) -> int:
    if min(a, b) < 1 or (a != b and min(a, b) != 1):
        raise ZeroDivisionError("axes that don't fit, as good as a division by zero here")
    return max(a, b)


@settings(max_examples=150)
@given(expressions())
def test_arithmetic_agrees_with_python_and_text_reads_back(built: tuple[Dim, str]) -> None:
    value, text = built
    for values in VALUES:
        expected = run(text, values)
        if expected is None:
            continue
        if value.known:
            assert value.substitute(values.get).const == expected
            assert eval(value.text(), {}, dict(values)) == expected
        else:
            assert value.reason == "a division by zero"


@settings(max_examples=120)
@given(expressions(2), expressions(2))
def test_comparisons_and_bounds_hold_for_all_values(one: tuple[Dim, str], other: tuple[Dim, str]) -> None:
    equal, larger, bound = same(one[0], other[0]), at_least(one[0], other[0]), lower_bound(one[0])
    for values in VALUES:
        a, b = run(one[1], values), run(other[1], values)
        if a is None or b is None:
            continue
        if equal is not None:
            assert equal == (a == b)
        if larger is not None:
            assert larger == (a >= b)
        if bound is not None:
            assert bound <= a


def test_a_choice_is_at_least_what_both_sizes_are() -> None:
    n = Dim.size("n")
    choice = Dim.opaque("({0} if flag else {1})", n, n // 4 * 4)
    assert at_least(n, choice) is True
    assert at_least(choice, n) is None
    assert at_least(Dim.opaque("({0} if flag else {1})", n + 2, n + 1), n) is True
    assert maximum(n, choice) == n


@settings(max_examples=120)
@given(expressions(2), expressions(2))
def test_an_exact_quotient_times_the_divisor_is_the_dividend(
    one: tuple[Dim, str], other: tuple[Dim, str]
) -> None:
    quotient = exact_quotient(one[0] * other[0], other[0])
    if one[0].known and other[0].known and other[0] != 0:
        assert quotient == one[0]


@settings(max_examples=100)
@given(expressions(2), expressions(2))
def test_substitution_commutes_with_evaluation(outer: tuple[Dim, str], inside: tuple[Dim, str]) -> None:
    replaced = outer[0].substitute(lambda text: inside[0] if text == "a" else None)
    for values in VALUES[::5]:
        put_in = run(inside[1], values)
        expected = None if put_in is None else run(outer[1], values | {"a": put_in})
        if expected is not None and replaced.known:
            assert replaced.substitute(values.get).const == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dim * 4, "self.dim * 4"),
        (2 * n, "2 * n"),
        (h // 2 * (w // 2) * 64, "(h // 2) * (w // 2) * 64"),
        ((h - 2) * (w - 2) * 64, "(h - 2) * (w - 2) * 64"),
        ((2 - h) * (2 - w), "(h - 2) * (w - 2)"),
        (((h + 5) // 4 - 3) * ((w + 1) // 4 - 2) * 64, "((h + 1) // 4 - 2) * ((w + 1) // 4 - 2) * 64"),
        ((h - 2) * (2 - w), "(h - 2) * (2 - w)"),
        (n * (n - m), "n * (n - m)"),
        (n + m - 1, "n + m - 1"),
        (1 - n, "1 - n"),
        (-n, "-n"),
        ((n + m) * 3, "(n + m) * 3"),
        (3 * (n + m), "3 * (n + m)"),
        (2 * n + 2, "2 * n + 2"),
        ((n + m) // 2, "(n + m) // 2"),
        (n // (2 * m), "n // (2 * m)"),
        (dim**2, "self.dim**2"),
        (maximum(n, m), "max(m, n)"),
        (Dim.symbol("a if b else c") * 2, "(a if b else c) * 2"),
        (n + Dim.size("feats[1]§a-1"), "n + feats[1]§a-1"),
        (Dim.opaque("int({0} * {1})", n, 0.5), "int(n * 0.5)"),
        (Dim.opaque("int({0} * {1})", n + 1, Dim.symbol("self.ratio")), "int((n + 1) * self.ratio)"),
        (Dim.of(0), "0"),
        (Dim.of(-3), "-3"),
    ],
)
def test_text_is_what_a_person_would_write(value: Dim, text: str) -> None:
    assert value.text() == text


def test_text_with_names_replaced() -> None:
    names = {"self.dim": "dim", "n": "a + b"}
    assert (dim * 4 + n * 2).text(lambda text: names.get(text, text)) == "dim * 4 + (a + b) * 2"


@pytest.mark.parametrize(
    ("value", "simple"),
    [
        (n * m // m, n),
        ((n * m + m) // m, n + 1),
        (n * (h + w) // (h + w), n),
        (6 * n // 4, 3 * n // 2),
        (-(-n // 2), (n + 1) // 2),
        ((n - 1) // 2 + 1, (n + 1) // 2),
        (((n + 1) // 2 + 1) // 2, (n + 3) // 4),
        ((3 * n + 1) % n, 1 % n),
        (minimum(n, n // 2), n // 2),
        (maximum(n - 1, 0), n - 1),
        (maximum(n, 1), n),
        (ceil_div(4 * n, 4), n),
        (product([n, m, 2]) // product([2, m]), n),
        (n + (m - n % m) % m, ceil_div(n, m) * m),
        ((n + -n % m) // m, ceil_div(n, m)),
        (n - n % m, n // m * m),
        ((n % m + h) % m, (n + h) % m),
    ],
)
def test_simplification(value: Dim, simple: Dim) -> None:
    assert value == simple


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        (4, 3, False),
        (4, 4, True),
        (n, n, True),
        (n, n + 1, False),
        (n, 2 * n, False),
        (n, m, None),
        (2 * n, 2 * m + 1, False),
        (n, Dim.of(0), False),
        (n, 1, None),
        (Dim.symbol("a"), 0, None),
        (n // 2 * 2, n, None),
        (Dim.unknown("why"), Dim.unknown("why"), None),
    ],
)
def test_same(one: Dim, other: Dim | int, answer: bool | None) -> None:
    assert same(one, other) is answer


def test_quotients_rounded_up_in_two_ways() -> None:
    assert same(ceil_div(n, m), (n - 1) // m + 1) is True
    assert same(2 * ceil_div(n + 3, m), (n + 2) // m * 2 + 2) is True
    assert same(ceil_div(n, m), (n - 1) // m) is False
    assert same(ceil_div(n, m), n // m + 1) is None
    assert same(ceil_div(n, Dim.symbol("any")), (n - 1) // Dim.symbol("any") + 1) is None
    for x, y in itertools.product(range(-7, 20), range(1, 6)):
        assert -(-x // y) == (x - 1) // y + 1


def test_the_first_of_two_that_is_not_zero() -> None:
    width = Dim.symbol("self.width")
    choice = first_of([width, n // 4])
    assert choice.text() == "self.width or (n // 4)"
    assert (choice * 4).text() == "(self.width or (n // 4)) * 4"
    assert (choice + m).text() == "(self.width or (n // 4)) + m"
    assert (m - choice).text() == "m - (self.width or (n // 4))"
    assert first_of([width, choice]) == choice
    assert first_of([n, m]) == n
    assert first_of([Dim.of(0), m]) == m
    assert choice.substitute({"self.width": Dim.of(0)}.get) == n // 4
    assert choice.substitute({"self.width": Dim.of(3)}.get) == 3
    assert choice.substitute({"n": choice * 4}.get) == choice
    assert first_of([n, Dim.unknown("no")]) == n
    assert not first_of([width, Dim.unknown("no")]).known
    assert first_of([width, n // (m - 1)]).substitute({"self.width": 3, "m": 1}.get) == 3


def test_sizes_that_broadcast_are_the_one_that_cannot_be_one() -> None:
    width, features = Dim.symbol("self.width"), Dim.size("features")
    joined = fitting(features, width)
    assert joined.text() == "max(features, self.width)"
    assert joined.substitute({"self.width": width * 2}.get) == width * 2
    assert joined.substitute({"self.width": Dim.of(1)}.get) == features
    assert fitting(features, 8) == 8
    assert fitting(joined, width * 2) == width * 2
    larger = maximum(features, width)  # which says nothing of broadcasting
    assert larger.substitute({"self.width": width * 2}.get) == maximum(features, width * 2)
    assert fitting(larger, m).substitute({"self.width": width * 2}.get) == maximum(features, width * 2, m)


def test_unknown_dims_absorb_and_equal_nothing() -> None:
    unknown = Dim.unknown("it comes from a file")
    for value in (unknown + 1, 2 * unknown, unknown // n, n % unknown, -unknown, maximum(unknown, n)):
        assert value.reason == "it comes from a file"
        assert value != unknown
    assert unknown != Dim.unknown("it comes from a file")
    with pytest.raises(ValueError, match="it comes from a file"):
        unknown.text()


def test_a_dim_has_no_truth_value() -> None:
    with pytest.raises(TypeError):
        bool(n)


def test_opaque_expressions_fold_once_their_arguments_are_numbers() -> None:
    value = Dim.opaque("int({0} * {1})", n, Dim.symbol("self.ratio"))
    assert value.symbols() == {"n", "self.ratio"}
    assert value.substitute({"n": 10, "self.ratio": 0.25}.get) == 2
    assert Dim.opaque("math.ceil({0} / 2)", Dim.of(7)) == 4
    assert Dim.opaque("lookup({0})", Dim.of(7)).const is None
    assert not value.substitute({"n": Dim.unknown("no")}.get).known


def test_equal_dims_hash_equally() -> None:
    assert hash(n * m + 1) == hash(1 + m * n)
    assert hash(Dim.of(5)) == hash(5)
    assert len({n * m, m * n, n + m}) == 2


def test_a_float_in_the_place_of_a_size_is_unknown() -> None:
    assert not (n * 2).substitute({"n": 0.5}.get).known


def test_answers_about_a_symbol_are_not_those_about_one_that_may_be_negative() -> None:
    size, number = Dim.size("k"), Dim.symbol("k")
    assert size == number
    assert [at_least(size * n, 1), at_least(number * n, 1)] == [True, None]
    assert [same(size + n, 0), same(number + n, 0)] == [False, None]
