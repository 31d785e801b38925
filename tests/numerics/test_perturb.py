import ml_dtypes
import numpy as np
import pytest

from nnx_migrate.numerics.perturb import perturb, perturb_leaf


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("params", "Dense_0", "bias"), np.zeros(8, np.float32)),
        (("params", "LayerNorm_0", "scale"), np.ones(8, np.float32)),
        (("params", "Dense_0", "kernel"), np.full((64, 8), 0.1, np.float32)),
        (("params", "w"), np.ones(8, ml_dtypes.bfloat16)),
        (("params", "w"), np.ones(8, np.complex64)),
        (("params", "log_std"), np.zeros((), np.float32)),
        (("batch_stats", "bn", "mean"), np.zeros(8, np.float32)),
    ],
)
def test_floats_change_and_keep_dtype_and_shape(path, value) -> None:
    result = perturb_leaf(path, value)
    assert (result.dtype, result.shape) == (value.dtype, value.shape)
    assert (result != value).all()
    assert np.abs(result - value).max() < 0.5


@pytest.mark.parametrize(
    "value", [np.arange(4), np.array([True]), np.arange(4, dtype=np.uint32), np.zeros((0, 3), np.float32)]
)
def test_integers_booleans_and_keys_stay(value) -> None:
    assert np.array_equal(perturb_leaf(("params", "x"), value), value)


@pytest.mark.parametrize("start", [0.0, 1e-3, 1.0])
def test_variances_stay_positive(start: float) -> None:
    value = perturb_leaf(("batch_stats", "bn", "var"), np.full(10_000, start, np.float32))
    assert (value > 0).all()


def test_kernels_of_zeros_keep_activations_in_range() -> None:
    kernel = perturb_leaf(("params", "out", "kernel"), np.zeros((4096, 8), np.float32))
    outputs = np.random.default_rng(0).standard_normal((100, 4096)) @ kernel
    assert 0.1 < outputs.std() < 3


def test_noise_depends_on_path_and_seed_only() -> None:
    leaves = {("params", "a"): np.zeros(4), ("params", "b"): np.zeros(4)}
    first, again = perturb(leaves), perturb(dict(reversed(leaves.items())))
    assert all(np.array_equal(first[path], again[path]) for path in leaves)
    assert not np.array_equal(first["params", "a"], first["params", "b"])
    assert not np.array_equal(first["params", "a"], perturb(leaves, seed=1)["params", "a"])
