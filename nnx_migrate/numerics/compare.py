"""Comparing arrays: how far apart two leaves are, and whether a stated tolerance covers it.

The expectation is equality of every bit (NaNs equal NaNs, -0.0 equals 0.0). What is not equal is measured:
the largest absolute difference, and the largest distance in units in the last place (ULP: how many
representable numbers apart).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np

from nnx_migrate.numerics.map_patterns import Path

Leaves = Mapping[Path, Any]
Verdict = Literal["equal", "close", "different"]


@dataclass(frozen=True)
class Tolerance:
    """What may differ, and why. An element passes by any of the three bounds.

    `max_ulp`: distance in representable numbers; `atol`: absolute; `rtol`: relative to the leaf's largest
    magnitude. `reason` is required where anything may differ: it is printed with the result.
    """

    max_ulp: int = 0
    atol: float = 0.0
    rtol: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.exact and not self.reason:
            raise ValueError("a tolerance needs a reason")

    @property
    def exact(self) -> bool:
        """Whether nothing may differ."""
        return self.max_ulp == 0 and self.atol == 0.0 and self.rtol == 0.0


EXACT = Tolerance()


@dataclass(frozen=True)
class LeafComparison:
    """One pair of leaves; `max_abs` and `max_ulp` are None where nothing can be measured (other shapes, NaN).

    `finite` is the share of elements that are finite on both sides: an all-NaN leaf is equal to itself and
    proves nothing.
    """

    path: Path
    verdict: Verdict
    max_abs: float | None = None
    max_ulp: int | None = None
    finite: float = 1.0
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """For reports; the path as one string."""
        return {**asdict(self), "path": "/".join(self.path)}

    def __str__(self) -> str:
        measured = f"max |diff| {self.max_abs:.3g}, {self.max_ulp} ULP" if self.max_abs is not None else ""
        return ": ".join(
            filter(None, ["/".join(self.path) or "(value)", self.verdict, self.detail, measured])
        )


def compare_leaves(expected: Leaves, actual: Leaves, tolerance: Tolerance = EXACT) -> list[LeafComparison]:
    """Compares two flat trees; a leaf that only one side has is different."""
    result = []
    for path, value in expected.items():
        if path in actual:
            result.append(compare_leaf(path, value, actual[path], tolerance))
        else:
            result.append(LeafComparison(path, "different", detail="missing after the migration"))
    extra = (path for path in actual if path not in expected)
    result += [LeafComparison(path, "different", detail="new after the migration") for path in extra]
    return result


def compare_leaf(path: Path, expected: Any, actual: Any, tolerance: Tolerance = EXACT) -> LeafComparison:
    """Compares two arrays (NumPy, bfloat16 and float8 included); integers and booleans have to be equal."""
    a, b = np.asarray(expected), np.asarray(actual)
    if a.shape != b.shape:
        return LeafComparison(path, "different", detail=f"shape {a.shape} before, {b.shape} after")
    if a.dtype != b.dtype:
        return LeafComparison(path, "different", detail=f"dtype {a.dtype} before, {b.dtype} after")
    if a.size == 0:
        return LeafComparison(path, "equal", 0.0, 0)
    if np.issubdtype(a.dtype, np.complexfloating):
        a, b = _as_reals(a), _as_reals(b)
    if not _is_float(a.dtype):
        if np.array_equal(a, b):
            return LeafComparison(path, "equal", 0.0, 0)
        share = float(np.mean(a != b))
        return LeafComparison(path, "different", detail=f"{share:.1%} of the {a.dtype} elements differ")
    return _compare_floats(path, a, b, tolerance)


def ulp_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Element-wise distance in representable numbers, as float64; -0.0 and 0.0 are 0 apart.

    Meaningless where either is NaN. Raises TypeError for dtypes that are not IEEE-like floats of one to eight
    bytes.
    """
    size = a.dtype.itemsize
    if not _is_float(a.dtype) or a.dtype != b.dtype or size not in (1, 2, 4, 8):
        raise TypeError(f"no ULP for {a.dtype} and {b.dtype}")
    signed = np.dtype(f"i{size}")
    lowest = np.iinfo(signed).min

    def ordered(x: np.ndarray) -> np.ndarray:
        bits = np.ascontiguousarray(x).view(signed)
        # Sign and magnitude to two's complement, so that neighbouring floats are neighbouring integers.
        return np.asarray(np.where(bits < 0, lowest - bits, bits))

    x, y = ordered(a), ordered(b)
    low, high = np.minimum(x, y), np.maximum(x, y)
    distance = high.astype(np.uint64) - low.astype(np.uint64)  # modulo 2**64, so right for int64 too
    result: np.ndarray = distance.astype(np.float64)
    return result


def _compare_floats(path: Path, a: np.ndarray, b: np.ndarray, tolerance: Tolerance) -> LeafComparison:
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    nan_a, nan_b = np.isnan(wide_a), np.isnan(wide_b)
    finite = float(np.mean(np.isfinite(wide_a) & np.isfinite(wide_b)))
    if (nan_a != nan_b).any():
        count = int((nan_a != nan_b).sum())
        return LeafComparison(
            path, "different", finite=finite, detail=f"{count} elements are NaN on one side only"
        )
    same = nan_a | (wide_a == wide_b)
    if same.all():
        return LeafComparison(path, "equal", 0.0, 0, finite)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(same, 0.0, np.abs(wide_a - wide_b))
    ulp = np.where(same, 0.0, ulp_distance(a, b))
    magnitude = np.abs(wide_a[np.isfinite(wide_a)])
    bound = tolerance.atol + tolerance.rtol * (float(magnitude.max()) if magnitude.size else 0.0)
    near = same | (ulp <= tolerance.max_ulp) | (difference <= bound)
    largest = float(difference.max())
    return LeafComparison(
        path,
        "close" if near.all() else "different",
        largest if math.isfinite(largest) else None,
        int(ulp.max()),
        finite,
        tolerance.reason if near.all() else "",
    )


def _is_float(dtype: np.dtype[Any]) -> bool:
    if np.issubdtype(dtype, np.floating):
        return True
    try:
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True


def _as_reals(x: np.ndarray) -> np.ndarray:
    real = np.dtype(f"f{x.dtype.itemsize // 2}")
    return np.ascontiguousarray(x).reshape(*x.shape, 1).view(real)
