"""Every modelled function at least once against JAX: by generic calls, or by one written for it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nnx_migrate.linen.arrays.shapes import Array, Global
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.registry import modelled, modelled_methods
from tests.linen.oracle import Case, Judge, Tally, judge_one
from tests.linen.test_effects_signatures import GONE

n, m, k = (Dim.size(name) for name in "nmk")
KEY = Array.of(2, dtype="uint32")
INTS, FLOAT32 = Global("jax.numpy.int32"), Global("jax.numpy.float32")


def floats(*dims: int | Dim) -> Array:
    return Array.of(*dims, dtype="float")


def ints(*dims: int | Dim) -> Array:
    return Array.of(*dims, dtype="int")


X, SQUARE = floats(n, m, k), floats(m, n, n)

# Calls of functions that no generic call fits. Keyword arguments stand in a dict at the end.
WRITTEN: dict[str, list[tuple[Any, ...]]] = {
    "einops.einops.einsum": [(floats(n, m), floats(m, k), "a b, b c -> a c")],
    "einops.einops.rearrange": [(X, "a b c -> (a c) b")],
    "einops.einops.reduce": [(X, "a b c -> b", "mean")],
    "einops.einops.repeat": [(X, "... -> ... d", {"d": 3})],
    "einops.einsum": [(floats(n, m), floats(m, k), "a b, b c -> a c"), (X, floats(k), "... c, c -> ...")],
    "einops.pack": [([floats(n, m, k), floats(n, 4, 2, k), floats(n, k)], "a * c"), ([X], "*")],
    "einops.unpack": [
        (floats(n, 3, k), [(), (), ()], "a * c"),
        (floats(n, 9, k), [(2, 2), (-1,)], "a * c"),
        (floats(7, k), [(1,), (2, -1)], "* c"),
    ],
    "einops.rearrange": [([X, X], "s a b c -> a (s b) c"), (floats(4, 6), "(a c) b -> a c b", {"c": 2})],
    "einops.reduce": [(X, "a b c -> () b ()", "max")],
    "einops.repeat": [(X, "a b c -> a (b 2) c")],
    "flax.linen.avg_pool": [(floats(n, 9, 9, k), (2, 2), {"strides": (2, 2), "count_include_pad": False})],
    "flax.linen.combine_masks": [(None, None), (ints(n, 1, m), ints(n, k, 1))],
    "flax.linen.initializers.ones": [(KEY, (n, m))],
    "flax.linen.initializers.zeros": [(KEY, (n, m), FLOAT32)],
    "flax.linen.max_pool": [(floats(9, 9, k), (3, 3))],
    "flax.linen.one_hot": [(ints(n), 10)],
    "flax.linen.partitioning.with_sharding_constraint": [(X, None)],
    "flax.linen.pool": [(floats(n, 9, k), 0.0, Global("jax.lax.add"), (2,), (2,), "SAME")],
    "flax.linen.pooling.pool": [(floats(n, 9, k), 0.0, Global("jax.lax.add"), (2,), None, "VALID")],
    "flax.linen.with_logical_constraint": [(X, ("a", "b", "c"))],
    "flax.linen.normalization._canonicalize_axes": [(3, -1), (4, (0, -2))],
    "flax.linen.normalization._compute_stats": [(X, (0, 2), FLOAT32), (X, [1], None)],
    "flax.nnx.nn.normalization._canonicalize_axes": [(3, -1), (4, (0, -2))],
    "flax.nnx.nn.normalization._compute_stats": [(X, (0, 2), FLOAT32), (X, [1], None)],
    "flax.nnx.nn.normalization._normalize": [
        (X, floats(m), floats(m), floats(m), None, (0, 2), (1,), FLOAT32, 1e-5),
    ],
    "flax.training.common_utils.onehot": [(ints(n, m), 7)],
    "jax.ad_checkpoint.checkpoint_name": [(X, "name")],
    "jax.image.resize": [(floats(4, 5), (n, m), "nearest"), (floats(4, 5), (8, 5), {"method": "linear"})],
    "jax.image.scale_and_translate": [(floats(4, 5), (n, m), (0, 1), floats(2), floats(2), "linear")],
    "jax.lax.argmax": [(X, 1, INTS)],
    "jax.lax.argmin": [(X, 0, INTS)],
    "jax.lax.broadcast": [(X, (2, 3))],
    "jax.lax.broadcast_in_dim": [(floats(n), (m, n), (1,))],
    "jax.lax.broadcasted_iota": [(INTS, (n, m), 1)],
    "jax.lax.clamp": [(0.0, X, 1.0)],
    "jax.lax.collapse": [(X, 1), (X, 0, 2), (X, 0, 3)],
    "jax.lax.concatenate": [([X, X], 1)],
    "jax.lax.conv": [(floats(n, 2, 9, 9), floats(k, 2, 3, 3), (1, 2), "SAME")],
    "jax.lax.conv_general_dilated": [(floats(n, 2, 9), floats(k, 2, 3), (1,), [(1, 1)])],
    "jax.lax.conv_general_dilated_patches": [(floats(n, 2, 9, 9), (3, 3), (2, 2), "VALID")],
    "jax.lax.conv_transpose": [(floats(n, 9, 2), floats(3, k, 2), (2,), "SAME", {"transpose_kernel": True})],
    "jax.lax.conv_with_general_padding": [
        (floats(n, 2, 9), floats(k, 2, 3), (1,), [(1, 1)], (1,), (2,)),
    ],
    "jax.lax.convert_element_type": [(X, Global("jax.numpy.bfloat16"))],
    "jax.lax.dot_general": [(floats(n, m), floats(m, k), (((1,), (0,)), ((), ())))],
    "jax.lax.dynamic_index_in_dim": [(X, 0), (X, 0, 1, False)],
    "jax.lax.dynamic_slice": [(floats(9, 9), (0, 0), (2, 3))],
    "jax.lax.dynamic_slice_in_dim": [(floats(9, 9), 0, 2), (floats(9, n), 1, 2, 0)],
    "jax.lax.dynamic_update_index_in_dim": [(X, floats(m, k), 0, 0)],
    "jax.lax.dynamic_update_slice": [(X, X, (0, 0, 0))],
    "jax.lax.dynamic_update_slice_in_dim": [(X, X, 0, 0)],
    "jax.lax.expand_dims": [(X, (0, 4))],
    "jax.lax.full": [((n, m), 1.0)],
    "jax.lax.full_like": [(X, 1.0)],
    "jax.lax.index_in_dim": [(X, 0), (X, 0, 1, False)],
    "jax.lax.iota": [(INTS, n)],
    "jax.lax.pad": [(floats(n), 0.0, [(1, 2, 1)])],
    "jax.lax.imag": [(Array.of(n, dtype="complex64"),)],
    "jax.lax.real": [(Array.of(n, dtype="complex64"),)],
    "jax.lax.reduce_window": [
        (floats(n, 9), 0.0, Global("jax.lax.add"), (1, 3), (1, 2), "SAME"),
        (floats(n, 9), 0.0, Global("jax.lax.add"), (1, 3), {"window_dilation": (1, 2)}),
    ],
    "jax.lax.reshape": [(X, (n * m, k))],
    "jax.lax.rev": [(X, (0,))],
    "jax.lax.select": [(Array.of(n, dtype="bool"), floats(n), floats(n))],
    "jax.lax.slice": [(floats(9, 8), (1, 2), (5, 8)), (floats(9, 8), (0, 0), (9, 8), (2, 3))],
    "jax.lax.slice_in_dim": [(floats(9, 8), 1, 7), (floats(9, 8), 1, 7, {"stride": 2, "axis": 1})],
    "jax.lax.sort_key_val": [(floats(n), ints(n))],
    "jax.lax.split": [(floats(n, 5), (2, 3), {"axis": 1})],
    "jax.lax.squeeze": [(floats(n, 1), (1,))],
    "jax.lax.stack": [([X, X], 1)],
    "jax.lax.tile": [(floats(n, m), (2, 3))],
    "jax.lax.top_k": [(floats(n, 9), 3)],
    "jax.lax.transpose": [(X, (2, 0, 1))],
    "jax.nn.dot_product_attention": [(floats(n, m, 2, 4), floats(n, k, 2, 4), floats(n, k, 2, 4))],
    "jax.nn.initializers.ones": [(KEY, (n, m))],
    "jax.nn.initializers.zeros": [(KEY, (n, m))],
    "jax.nn.one_hot": [(ints(n), m, {"axis": 0})],
    "jax.numpy.arange": [(n,), (2, 8, 3)],
    "jax.numpy.array_split": [(floats(n, 7), 3, 1)],
    "jax.numpy.astype": [(X, INTS)],
    "jax.numpy.bincount": [(ints(n), {"length": m})],
    "jax.numpy.block": [([[floats(n, 2), floats(n, 3)], [floats(1, 2), floats(1, 3)]],)],
    "jax.numpy.broadcast_shapes": [((n, 1), (1, m))],
    "jax.lax.broadcast_shapes": [((n, 1), (1, m))],
    "jax.numpy.broadcast_to": [(floats(n), (m, n))],
    "jax.numpy.concat": [([X, X], {"axis": -1})],
    "jax.numpy.convolve": [(floats(9), floats(3), "same"), (floats(9), floats(3))],
    "jax.numpy.correlate": [(floats(9), floats(3))],
    "jax.numpy.cross": [(floats(n, 3), floats(3))],
    "jax.numpy.diag": [(floats(n),), (floats(n, n),), (floats(n), 1)],
    "jax.numpy.diag_indices": [(n,), (n, 3)],
    "jax.numpy.digitize": [(X, floats(4))],
    "jax.numpy.dsplit": [(floats(n, m, 4), 2)],
    "jax.numpy.einsum": [("ij,jk", floats(n, m), floats(m, k)), ("...ii->...i", SQUARE)],
    "jax.numpy.expand_dims": [(X, 0), (X, (0, -1))],
    "jax.numpy.eye": [(n,)],
    "jax.numpy.fft.fftfreq": [(n,)],
    "jax.numpy.fft.rfftfreq": [(n,)],
    "jax.numpy.full": [((n,), 1)],
    "jax.numpy.full_like": [(X, 0)],
    "jax.numpy.geomspace": [(1.0, 2.0, n)],
    "jax.numpy.hsplit": [(floats(n, 4), 2), (floats(4), 2)],
    "jax.numpy.identity": [(n,)],
    "jax.numpy.indices": [((n, m),)],
    "jax.numpy.interp": [(X, floats(4), floats(4))],
    "jax.numpy.linalg.diagonal": [(SQUARE,)],
    "jax.numpy.linalg.qr": [(SQUARE,)],
    "jax.numpy.linspace": [(0, 1, n)],
    "jax.numpy.logspace": [(0.0, 1.0, {"num": n})],
    "jax.numpy.mgrid.__getitem__": [((slice(n), slice(1, m)),), (slice(2, 5),)],
    "jax.numpy.moveaxis": [(X, 0, -1)],
    "jax.numpy.nanpercentile": [(X, 50.0, 1)],
    "jax.numpy.nanquantile": [(X, floats(2), 1)],
    "jax.numpy.empty": [((n, m),)],
    "jax.numpy.ones": [((n, m),)],
    "jax.numpy.pad": [(X, 1)],
    "jax.numpy.percentile": [(X, 50.0), (X, floats(3), {"axis": 0, "keepdims": True})],
    "jax.numpy.permute_dims": [(X, (1, 0, 2))],
    "jax.numpy.quantile": [(X, floats(3), {"axis": (0, 1)})],
    "jax.numpy.ravel_multi_index": [((ints(n), ints(n)), (3, 4), {"mode": "clip"})],
    "jax.numpy.repeat": [(X, 2, 1), (floats(2, n), 2, {"axis": 0, "total_repeat_length": 3})],
    "jax.numpy.reshape": [(X, (-1, k))],
    "jax.numpy.resize": [(floats(n), (m, k))],
    "jax.numpy.roll": [(X, 1, 0)],
    "jax.numpy.rollaxis": [(X, 2), (X, 0, 3), (X, -1, 1)],
    "jax.numpy.searchsorted": [(floats(n), floats(m, k))],
    "jax.numpy.select": [([Array.of(n, 1, dtype="bool")], [floats(1, m)], 0.0)],
    "jax.numpy.size": [(X,), (X, 1)],
    "jax.numpy.split": [(floats(n, 6), 2, 1), (floats(n, 6), [1, 4], {"axis": -1})],
    "jax.numpy.stack": [([X, X],), ((X,), -2)],
    "jax.numpy.swapaxes": [(X, 0, 1)],
    "jax.numpy.take": [(X, ints(4), 1), (X, ints(2, 2))],
    "jax.numpy.take_along_axis": [(X, ints(n, m, 1), 2), (X, ints(1, 5, k), {"axis": 1})],
    "jax.numpy.tile": [(X, 2)],
    "jax.numpy.tri": [(n, m)],
    "jax.numpy.tril_indices": [(5,), (5, 2), (n,), (n, -1)],
    "jax.numpy.triu_indices": [(5,), (5, -3), (n,), (n, 1)],
    "jax.numpy.unravel_index": [(ints(n), (3, 4))],
    "jax.numpy.unstack": [(floats(3, n),), (floats(n, 2), {"axis": 1})],
    "jax.numpy.vander": [(floats(n),), (floats(n), m)],
    "jax.numpy.vsplit": [(floats(4, n), 2)],
    "jax.numpy.zeros": [(n,)],
    "jax.ops.segment_max": [(X, ints(n), 4)],
    "jax.ops.segment_min": [(X, ints(n), 4)],
    "jax.ops.segment_prod": [(X, ints(n), 4)],
    "jax.ops.segment_sum": [(X, ints(n), m)],
    "jax.random.bernoulli": [(KEY, 0.5, (n,)), (KEY, floats(n, m))],
    "jax.random.beta": [(KEY, 1.0, 2.0, (n,)), (KEY, floats(n, 1), floats(m))],
    "jax.random.categorical": [(KEY, X), (KEY, X, {"shape": (4, n, m)})],
    "jax.random.choice": [(KEY, 5, (n,)), (KEY, floats(4), (n, m))],
    "jax.random.gamma": [(KEY, 2.0, (n,)), (KEY, floats(n))],
    "jax.random.loggamma": [(KEY, 2.0, (n,))],
    "jax.random.permutation": [(KEY, n), (KEY, X)],
    "jax.random.poisson": [(KEY, 2.0, (n,))],
    "jax.random.randint": [(KEY, (n, m), 0, 9)],
    "jax.random.truncated_normal": [(KEY, -1.0, 1.0, (n,)), (KEY, floats(n), 1.0)],
    "math.prod": [((n, 4, m),), ([2, 3], {"start": n})],
}
SAMPLERS = [
    "bits",
    "cauchy",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "normal",
    "rademacher",
    "uniform",
]
WRITTEN |= {f"jax.random.{name}": [(KEY, (n, m)), (KEY,)] for name in SAMPLERS}
UPDATES = ["set", "add", "subtract", "multiply", "mul", "divide", "power", "min", "max"]
METHODS: dict[str, list[tuple[Any, ...]]] = {
    "__getitem__": [(X, 0)],
    "at[].apply": [(X, 0, Global("jax.numpy.sin"))],
    "at[].get": [(X, (0, slice(1, None)))],
    "astype": [(X, INTS), (X, "bfloat16")],
    "repeat": [(X, 2, 0)],
    "reshape": [(X, -1), (X, (n, -1))],
    "swapaxes": [(X, 0, 1)],
    "take": [(X, ints(3), 0)],
    "dot": [(X, floats(k))],
    **{f"at[].{name}": [(X, 0, 1.0)] for name in UPDATES},
}

# Judged nowhere: they need a mesh, a mapped axis or a package that is not there, or return something opaque.
NOT_JUDGED = GONE | {
    "block_until_ready",
    "jax.device_get",
    "jax.device_put",
    "flax.linen.linear._conv_dimension_numbers",
    "jax.lax.conv_dimension_numbers",
    "jax.lax.axis_index",
    "jax.lax.pmax",
    "jax.lax.pmean",
    "jax.lax.pmin",
    "jax.lax.psum",
    "jax.lax.with_sharding_constraint",
    "jax.numpy.finfo",
    "jax.numpy.iinfo",
    "jax.random.PRNGKey",
    "split",  # arrays had it once
    "jax.random.clone",
    "jax.random.fold_in",
    "jax.random.key",
    "jax.random.split",
    "optax.safe_norm",
}


def generic(name: str) -> list[Case]:
    """Calls with one, two or three arrays of several kinds."""
    one = [Case(name, (value,)) for value in (X, ints(n, m), SQUARE, Array.of(n, dtype="bool"))]
    two = [
        Case(name, pair) for pair in ((floats(n, m), floats(n, m)), (ints(n, m), ints(n, m)), (X, floats(k)))
    ]
    others = [
        Case(name, ([floats(n, m), floats(n, m)],)),
        Case(name, (SQUARE, SQUARE)),
        Case(name, (X, (0, 1))),
        Case(name, (Array.of(2, 3, dtype="bool"), (0,))),
        Case(name, (X, X, X)),
        Case(name, (floats(n, m, 2, 4), floats(n, k, 2, 4), floats(n, k, 2, 4)), {"deterministic": True}),
    ]
    return [*one, *two, *others]


def written(name: str, table: dict[str, list[tuple[Any, ...]]], called: str) -> list[Case]:
    cases = []
    for call in table.get(name, []):
        keywords = call[-1] if isinstance(call[-1], dict) else {}
        cases.append(Case(called, call[: len(call) - bool(keywords)], keywords))
    return cases


def judged(cases: list[Case], enough: int = 10) -> Tally:
    """Judge until `enough` calls have been valid."""
    tally, rng = Tally(), random.Random(10)
    for case in cases:
        if tally.known.total() + tally.unknown.total() >= 2 * enough:
            break
        judge_one(case, rng, tally, Judge())
    return tally


def functions() -> list[str]:
    prefixes = ("jax.", "flax.", "einops.", "math.")
    return sorted(name for name in modelled() if name.startswith(prefixes) and name not in NOT_JUDGED)


@pytest.mark.parametrize("name", functions())
def test_function(name: str) -> None:
    cases = written(name, WRITTEN, name)
    tally = judged(cases) if cases else judged(generic(name), enough=1)
    assert tally.known.total() > 0, tally.reasons
    assert not (cases and (tally.unknown or tally.failed)), tally


@pytest.mark.parametrize("name", sorted(set(modelled_methods()) - NOT_JUDGED))
def test_method(name: str) -> None:
    called = "[]" if name == "__getitem__" else f".{name}"
    cases = written(name, METHODS, called)
    tally = judged(cases) if cases else judged(generic(called), enough=1)
    assert tally.known.total() > 0, tally.reasons
