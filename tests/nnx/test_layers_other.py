"""Dropout, PReLU, Sequential, BatchApply, SpectralNorm, WeightNorm, partitioned initializers."""

import ast

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnx_migrate.nnx.layers import LAYERS, Refusal, bind, wrapper_variables, write_construction
from tests.nnx.harness import RefusedError, array, check, helpers, random_key, same

X = array(4, 5)


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        ("nn.Dropout(0.4)", "layer(x, deterministic=not train)"),
        ("nn.Dropout(rate=0.4)", "layer(x, not train)"),
        ("nn.Dropout(rate, deterministic=not train)", "layer(x)"),
        ("nn.Dropout(0.4, [0], not train)", "layer(x)"),
        (
            "nn.Dropout(0.4, broadcast_dims=(-1,), rng_collection='noise')",
            "layer(x, deterministic=not train)",
        ),
        ("nn.Dropout(0.4)", "layer(layer(x, not train), deterministic=not train)"),
        ("nn.Dropout(0.0)", "layer(x, deterministic=not train)"),
        ("nn.Dropout(1.0)", "layer(x, deterministic=not train)"),
        ("nn.Dropout(0.4)", "layer(x, deterministic=not train, rng=key)"),
        ("nn.Dropout(0.4)", "layer(x, not train, key)"),
        ("nn.Dropout(0.4)", "layer(x, not train, None)"),
        ("nn.Dropout(0.4, deterministic=absent)", "layer(x, deterministic=not train)"),
        ("nn.Dropout(0.4, deterministic=None)", "layer(x, deterministic=not train)"),
        ("nn.Dropout(0.4, deterministic=not train)", "layer(x, deterministic=None)"),
        ("nn.Dropout(0.4, deterministic=not train)", "layer(x, absent)"),
    ],
)
@pytest.mark.parametrize("train", [True, False])
def test_dropout(layer, call, train):
    check(layer, call, x=X, train=train, rate=0.5, absent=None, key=random_key(5))


def test_dropout_construction():
    text = "nnx.Dropout(0.4, broadcast_dims=(0, 1), rngs=rngs)"
    check("nn.Dropout(0.4, [0, 1], True)", x=X, expect=text)
    text = "nnx.Dropout(rate=0.4, deterministic=True, rngs=rngs)"
    check("nn.Dropout(rate=0.4, deterministic=True)", x=X, keep_flag=True, expect=text)


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        ("nn.PReLU()", "nnx.PReLU()"),
        (
            "nn.PReLU(jnp.bfloat16, 0.2)",
            "nnx.PReLU(0.2, param_dtype=jnp.bfloat16)",
        ),
        ("nn.PReLU(negative_slope_init=0.3)", "nnx.PReLU(negative_slope_init=0.3)"),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_prelu(layer, expect, dtype):
    check(layer, x=X.astype(dtype), expect=expect)


def two(x):
    """A layer with two outputs."""
    return x, 2 * x


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        (
            "nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])",
            "nnx.Sequential(nnx.Linear(5, 4, rngs=rngs), nnx.relu, nnx.Linear(4, 2, rngs=rngs))",
        ),
        (
            "nn.Sequential(layers=(nn.LayerNorm(), two, lambda a, b: a + b))",
            "nnx.Sequential(nnx.LayerNorm(5, rngs=rngs), two, lambda a, b: a + b)",
        ),
        ("nn.Sequential(functions)", "nnx.Sequential(*functions)"),
        ("nn.Sequential(functions + functions)", "nnx.Sequential(*(functions + functions))"),
        ("nn.Sequential([nn.gelu])", "nnx.Sequential(nnx.gelu)"),
        (
            "nn.Sequential([nn.Sequential([nn.Dense(3)]), nn.Dropout(0.5, deterministic=False)])",
            None,
        ),
    ],
)
def test_sequential(layer, expect):
    check(layer, x=X, two=two, functions=[jnp.sin, jnp.cos], keep_flag=True, expect=expect)


def test_batch_apply():
    source = "nn.BatchApply(f, num_dims=3)"
    spec = LAYERS["flax.linen.BatchApply"]
    bound = bind(spec, ast.parse(source, mode="eval").body)
    written = write_construction(spec, bound, {}, nnx="nnx", rngs="rngs", segment=ast.unparse)
    assert written.text == "BatchApply(f, num_dims=3)"
    linear = nnx.Linear(5, 3, rngs=nnx.Rngs(0))
    x = array(2, 3, 4, 5)
    names = {"nn": nn, "f": lambda x, scale: linear(x) * scale, **helpers()}
    same(eval(source, names)(x, scale=2.0), eval(written.text, names)(x, scale=2.0), 0.0, "output")
    assert nnx.state(helpers()["BatchApply"](linear), nnx.Param), "the layer inside must be visible"


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        (
            "nn.SpectralNorm(nn.Dense(3))",
            "LinenSpectralNorm(nnx.Linear(5, 3, rngs=rngs), rngs=rngs)",
        ),
        (
            "nn.SpectralNorm(layer_instance=nn.Dense(3, use_bias=False), n_steps=3, epsilon=1e-6)",
            "LinenSpectralNorm(layer_instance=nnx.Linear(5, 3, use_bias=False, rngs=rngs), n_steps=3, "
            "epsilon=1e-6, "
            "rngs=rngs)",
        ),
        ("nn.SpectralNorm(nn.Sequential([nn.Dense(3), nn.BatchNorm(use_running_average=False)]))", None),
        ("nn.SpectralNorm(nn.Dense(3), dtype=jnp.bfloat16)", None),
        ("nn.SpectralNorm(nn.Dense(3), n_steps=0)", None),
    ],
)
@pytest.mark.parametrize("train", [True, False])
def test_spectral_norm(layer, expect, train):
    call = "layer(x, update_stats=train)"
    check(layer, call, x=X, train=train, steps=3, keep_flag=True, expect=expect)


def test_spectral_norm_of_a_convolution():
    check("nn.SpectralNorm(nn.Conv(3, (3,)))", "layer(x, update_stats=True)", x=array(2, 6, 4), steps=2)


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        ("nn.WeightNorm(nn.Dense(3))", "LinenWeightNorm(nnx.Linear(5, 3, rngs=rngs), rngs=rngs)"),
        ("nn.WeightNorm(nn.Dense(3), use_scale=False, epsilon=1e-6)", None),
        ("nn.WeightNorm(nn.Dense(3), variable_filter=None, feature_axes=None)", None),
        ("nn.WeightNorm(nn.Dense(3), variable_filter={'kernel', 'bias'}, param_dtype=jnp.bfloat16)", None),
        ("nn.WeightNorm(nn.Sequential([nn.Dense(3), nn.tanh, nn.Dense(2)]), dtype=jnp.bfloat16)", None),
        ("nn.WeightNorm(nn.DenseGeneral((2, 3)), feature_axes=[0, -1])", None),
    ],
)
def test_weight_norm(layer, expect):
    check(layer, x=X, steps=2, expect=expect)


def test_both_norms_start_from_normalized_weights():
    """Linen stores what the first, initialising call made of the weights."""
    layer = helpers()["LinenWeightNorm"](nnx.Linear(5, 3, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    lengths = np.linalg.norm(np.asarray(layer.layer_instance.kernel[...]), axis=0)
    np.testing.assert_allclose(lengths, 1.0, rtol=1e-6)
    layer = helpers()["LinenSpectralNorm"](nnx.Linear(5, 3, rngs=nnx.Rngs(0)), n_steps=40, rngs=nnx.Rngs(1))
    largest = np.linalg.svd(np.asarray(layer.layer_instance.kernel[...]))[1][0]
    np.testing.assert_allclose(largest, 1.0, rtol=1e-5)


def test_weight_norm_filters_by_names_of_layers_are_refused():
    with pytest.raises(RefusedError) as error:
        check("nn.WeightNorm(nn.Dense(3), variable_filter={'layer'})", x=X)
    assert error.value.refusal.code == "unknown-wrapped-names"


def test_weight_norm_of_a_layer_whose_name_matches_the_filter():
    spec = LAYERS["flax.linen.WeightNorm"]
    bound = bind(spec, ast.parse("nn.WeightNorm(nn.Dense(3, name='kernel_net'))", mode="eval").body)
    params = [(("kernel",), ("kernel",), 2), (("bias",), ("bias",), 1)]
    assert isinstance(wrapper_variables(spec, bound, "kernel_net", params), Refusal)
    assert len(wrapper_variables(spec, bound, "Dense_0", params)) == 1


def test_partitioned_initializers():
    text = check(
        "nn.Dense(4, kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), (None, 'model')), "
        "bias_init=nn.with_logical_partitioning(nn.zeros, names=('embed',)))",
        x=X,
    )
    assert text == (
        "nnx.Linear(5, 4, kernel_init=nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "
        "'model'), "
        "eager_sharding=False), bias_init=nnx.with_partitioning(nnx.initializers.zeros, sharding=('embed',), "
        "eager_sharding=False), rngs=rngs)"
    )


@pytest.mark.parametrize("name", ["Fp8DotGeneralOp", "Fp8Einsum"])
def test_fp8_operations_are_refused(name):
    spec = LAYERS[f"flax.linen.{name}"]
    assert spec.refusal is not None
    assert "ToNNX" in spec.refusal.advice
