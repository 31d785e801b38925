import ml_dtypes
import numpy as np
import pytest

from nnx_migrate.numerics.compare import EXACT, Tolerance, compare_leaf, compare_leaves, ulp_distance

NAN = float("nan")


@pytest.mark.parametrize(
    "dtype",
    [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2],
)
def test_ulp_counts_representable_numbers(dtype) -> None:
    """Walking over positive bit patterns in order, each step is one ULP, and as many lie below zero."""
    size = np.dtype(dtype).itemsize
    steps = np.arange(0, 100, dtype=f"u{size}")
    numbers = steps.view(dtype)
    assert np.array_equal(ulp_distance(numbers, np.zeros_like(numbers)), steps)
    assert np.array_equal(ulp_distance(numbers, -numbers), 2.0 * steps)
    assert np.array_equal(ulp_distance(-numbers[1:], -numbers[:-1]), np.ones(99))


def test_ulp_between_extremes_of_float64() -> None:
    largest = np.array([np.finfo(np.float64).max])
    assert ulp_distance(largest, -largest)[0] == pytest.approx(2.0 * (0x7FEFFFFFFFFFFFFF))


def next_after(x: float, steps: int) -> np.ndarray:
    return (np.array([x], np.float32).view(np.int32) + steps).view(np.float32)


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "verdict"),
    [
        ([1.0, 2.0], [1.0, 2.0], EXACT, "equal"),
        ([0.0], [-0.0], EXACT, "equal"),
        ([NAN, 1.0], [NAN, 1.0], EXACT, "equal"),
        ([np.inf], [np.inf], EXACT, "equal"),
        ([NAN], [1.0], Tolerance(atol=1e9, reason="any"), "different"),
        ([np.inf], [3.4e38], Tolerance(atol=1e9, reason="any"), "different"),
        ([1.0], next_after(1.0, 1), EXACT, "different"),
        ([1.0], next_after(1.0, 2), Tolerance(max_ulp=2, reason="sum order"), "close"),
        ([1.0], next_after(1.0, 3), Tolerance(max_ulp=2, reason="sum order"), "different"),
        ([0.0, 8.0], [1e-6, 8.0], Tolerance(atol=1e-6, reason="cancellation"), "close"),
        ([0.0, 8.0], [1e-6, 8.0], Tolerance(rtol=1e-6, reason="cancellation"), "close"),
        ([0.0, 0.1], [1e-6, 0.1], Tolerance(rtol=1e-6, reason="cancellation"), "different"),
    ],
)
def test_floats(before, after, tolerance, verdict) -> None:
    result = compare_leaf(("x",), np.asarray(before, np.float32), np.asarray(after, np.float32), tolerance)
    assert result.verdict == verdict


def test_measurements() -> None:
    result = compare_leaf(
        (), np.array([1.0, 4.0], np.float32), np.concatenate([next_after(1.0, 5), [4.5]]).astype("f4")
    )
    assert result.max_abs == 0.5
    assert result.max_ulp == 2**23 // 8  # half a unit at 4, whose neighbours are 2**-21 apart: 2**20 steps
    assert result.finite == 1.0


def test_share_of_finite_elements() -> None:
    x = np.array([NAN, np.inf, 1.0, 2.0])
    assert compare_leaf((), x, x).finite == 0.5


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "shape (2, 3) before, (3, 2) after"),
        (np.zeros(2, np.float32), np.zeros(2, np.float64), "dtype float32 before, float64 after"),
        (np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5]), "25.0% of the int64 elements differ"),
        (np.array([True, False]), np.array([True, True]), "50.0% of the bool elements differ"),
        (np.array([1 + 1j, NAN]), np.array([1 + 1j, 2]), "1 elements are NaN on one side only"),
    ],
)
def test_what_no_tolerance_covers(before, after, detail) -> None:
    result = compare_leaf((), before, after, Tolerance(max_ulp=10, atol=100.0, reason="any"))
    assert result.verdict == "different"
    assert detail in result.detail


def test_complex_numbers_are_measured_by_part() -> None:
    x = np.array([1 + 2j], np.complex64)
    assert compare_leaf((), x, x + np.complex64(1e-3j)).max_abs == pytest.approx(1e-3, rel=1e-3)


def test_empty_arrays_and_scalars() -> None:
    assert compare_leaf((), np.zeros((0, 3)), np.zeros((0, 3))).verdict == "equal"
    assert compare_leaf((), np.float32(1), np.float32(1)).verdict == "equal"


def test_trees_must_have_the_same_leaves() -> None:
    one = np.ones(1)
    result = {c.path: c for c in compare_leaves({("a",): one, ("b",): one}, {("a",): one, ("c",): one})}
    assert result["a",].verdict == "equal"
    assert "missing" in result["b",].detail
    assert "new" in result["c",].detail


def test_a_tolerance_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        Tolerance(max_ulp=1)
