"""Carrying variables into a live model: whole and checked, or not at all."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from nnx_migrate.numerics.leaf_transforms import Transform
from nnx_migrate.numerics.map_expansion import LeafSpec, MapError
from nnx_migrate.numerics.nnx_model import leaves_of
from nnx_migrate.numerics.parameter_map import ClassMap, ParameterMap, leaf, module
from nnx_migrate.numerics.recording import Description
from nnx_migrate.numerics.transplant import correspond, transplant

KERNEL, BIAS = jnp.arange(6.0).reshape(2, 3), jnp.arange(3.0)
VARIABLES = {"params": {"Dense_0": {"kernel": KERNEL, "bias": BIAS}}}


class Model(nnx.Module):
    def __init__(self, rngs, **options):
        self.dense = nnx.Linear(2, 3, rngs=rngs, **options)


NAME = f"{Model.__module__}:Model"
MAP = ParameterMap({NAME: ClassMap((module(["Dense_0"], ["dense"], "flax.linen:Dense"),))})


@pytest.mark.parametrize("freeze", [dict, flax.core.freeze])
def test_values_arrive_in_place(freeze) -> None:
    model = Model(nnx.Rngs(0))
    kernel = model.dense.kernel
    transplant(freeze(VARIABLES), model, MAP)
    assert model.dense.kernel is kernel
    assert (kernel[...] == KERNEL).all() and (model.dense.bias[...] == BIAS).all()


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        (VARIABLES, {"use_bias": False}, "params/Dense_0/bias is not mapped"),
        ({"params": {"Dense_0": {"kernel": KERNEL}}}, {}, "NNX leaf dense/bias is not mapped"),
        ({"params": {"Dense_0": {"kernel": KERNEL.T, "bias": BIAS}}}, {}, r"shape \(3, 2\) in Linen"),
        (VARIABLES, {"param_dtype": jnp.bfloat16}, "dtype float32 in Linen, bfloat16 in NNX"),
    ],
)
def test_nothing_is_written_unless_everything_fits(variables, options, message) -> None:
    model = Model(nnx.Rngs(0), **options)
    before = leaves_of(model)
    with pytest.raises(MapError, match=message):
        transplant(variables, model, MAP)
    after = leaves_of(model)
    assert all((before[path] == after[path]).all() for path in before)


def test_boxes_and_transient_collections_are_no_obstacle() -> None:
    linen = nn.Dense(3, kernel_init=nn.with_partitioning(nn.initializers.ones, (None, "model")))
    variables = {**linen.init(jax.random.key(0), jnp.ones((1, 2))), "intermediates": {"x": (jnp.ones(1),)}}
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    transplant(variables, model)
    assert (model.kernel[...] == 1).all()


def test_structures_inside_one_variable() -> None:
    """A Linen variable may hold a tuple; its NNX counterpart too."""

    class Recurrent(nnx.Module):
        def __init__(self):
            self.carry = nnx.Cache((jnp.zeros(2), jnp.zeros(3)))

    model = Recurrent()
    transplant({"cache": {"carry": (jnp.ones(2), jnp.full(3, 2.0))}}, model)
    first, second = model.carry.get_value()
    assert (first == 1).all() and (second == 2).all()


def test_norms_over_several_axes_are_flattened() -> None:
    class Normed(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.LayerNorm(6, reduction_axes=(-2, -1), feature_axes=(-2, -1), rngs=rngs)

    variables = {"params": {"LayerNorm_0": {"scale": KERNEL, "bias": KERNEL + 1}}}
    entry = module(["LayerNorm_0"], ["norm"], "flax.linen:LayerNorm")
    model = Normed(nnx.Rngs(0))
    transplant(variables, model, ParameterMap({f"{__name__}:{Normed.__qualname__}": ClassMap((entry,))}))
    assert (model.norm.scale[...] == KERNEL.reshape(-1)).all()


def test_fused_gates_are_in_the_order_that_nnx_computes_with() -> None:
    linen, x = (
        nn.OptimizedLSTMCell(3),
        jnp.asarray(np.random.default_rng(0).standard_normal((2, 4)), jnp.float32),
    )
    carry = (jnp.ones((2, 3)), jnp.ones((2, 3)))
    variables = linen.init(jax.random.key(0), carry, x)
    cell = nnx.OptimizedLSTMCell(4, 3, rngs=nnx.Rngs(0))
    fused = ParameterMap(
        {"flax.nnx:OptimizedLSTMCell": ClassMap((module([], [], "flax.linen:OptimizedLSTMCell"),))}
    )
    transplant(variables, cell, fused)
    assert jnp.allclose(linen.apply(variables, carry, x)[1], cell(carry, x)[1], atol=1e-6)


def test_stacked_layers() -> None:
    class Stack(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.split_rngs(splits=2)(nnx.vmap(lambda rngs: nnx.Linear(2, 3, rngs=rngs)))(rngs)

    variables = {"params": {f"Dense_{i}": {"kernel": KERNEL + i, "bias": BIAS + i} for i in range(2)}}
    entry = module(["Dense_{i}"], ["layers"], None, Transform("stack"))
    model = Stack(nnx.Rngs(0))
    transplant(variables, model, ParameterMap({f"{__name__}:{Stack.__qualname__}": ClassMap((entry,))}))
    assert (model.layers.kernel[...] == jnp.stack([KERNEL, KERNEL + 1])).all()


def test_two_leaves_that_share_a_path_need_an_entry_each() -> None:
    class Counter(nnx.Module):
        def __init__(self):
            self.x, self.x_ema = nnx.Param(jnp.zeros(2)), nnx.BatchStat(jnp.zeros(2))

    variables = {"params": {"x": jnp.ones(2)}, "batch_stats": {"x": jnp.full(2, 2.0)}}
    entries = (leaf(["params", "x"], ["x"]), leaf(["batch_stats", "x"], ["x_ema"]))
    model = Counter()
    transplant(variables, model, ParameterMap({f"{__name__}:{Counter.__qualname__}": ClassMap(entries)}))
    assert (model.x[...] == 1).all() and (model.x_ema[...] == 2).all()


@pytest.mark.parametrize("imported_as", ["nets", "pkg.nets", "src.pkg.nets"])
def test_a_map_knows_classes_by_the_end_of_their_modules(imported_as: str) -> None:
    specs = {side: LeafSpec((3, 3), "float32", "params") for side in ("first", "second")}
    linen = {("params", f"Dense_{i}", "kernel"): spec for i, spec in enumerate(specs.values())}
    nnx_specs = {(side, "kernel"): spec for side, spec in specs.items()}
    before = Description("linen", "pkg.nets:Net", linen, list(linen), (), {})
    after = Description("nnx", f"{imported_as}:Net", nnx_specs, list(nnx_specs), (), {})
    crossed = ParameterMap(
        {
            "pkg.nets:Net": ClassMap(
                (
                    module(["Dense_0"], ["second"], "flax.linen:Dense"),
                    module(["Dense_1"], ["first"], "flax.linen:Dense"),
                )
            )
        }
    )
    pairs = {pair.linen[0][1]: pair.nnx[0][0] for pair in correspond(before, after, crossed, _no_class).pairs}
    assert pairs == {"Dense_0": "second", "Dense_1": "first"}


def _no_class(path: object) -> tuple[str, ...]:
    return ()
