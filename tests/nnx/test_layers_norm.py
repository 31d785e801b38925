"""Normalization layers: generated NNX code against Linen, bit for bit, in float32 and bfloat16."""

import jax.numpy as jnp
import pytest

from tests.nnx.harness import array, check

BF16 = jnp.bfloat16
X = array(4, 6) + 3
X4 = array(2, 3, 4, 6) + 3
MASK = array(2, 3, 4, 6, seed=2) > 0

KEEP = "promote_dtype=keep_dtypes"


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        ("nn.LayerNorm()", "nnx.LayerNorm(6, rngs=rngs)"),
        ("nn.LayerNorm(1e-5)", "nnx.LayerNorm(6, epsilon=1e-5, rngs=rngs)"),
        (
            "nn.LayerNorm(epsilon=1e-5, use_bias=False, use_scale=False)",
            "nnx.LayerNorm(6, epsilon=1e-5, use_bias=False, use_scale=False, rngs=rngs)",
        ),
        ("nn.LayerNorm(dtype=jnp.float32)", "nnx.LayerNorm(6, dtype=jnp.float32, rngs=rngs)"),
        ("nn.LayerNorm(dtype=None)", "nnx.LayerNorm(6, dtype=None, rngs=rngs)"),
        ("nn.LayerNorm(dtype=jnp.bfloat16)", f"nnx.LayerNorm(6, dtype=jnp.bfloat16, {KEEP}, rngs=rngs)"),
        ("nn.LayerNorm(dtype=dtype)", f"nnx.LayerNorm(6, dtype=dtype, {KEEP}, rngs=rngs)"),
        (
            "nn.LayerNorm(param_dtype=jnp.bfloat16)",
            "nnx.LayerNorm(6, param_dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.LayerNorm(param_dtype=dtype, use_fast_variance=False)",
            f"nnx.LayerNorm(6, param_dtype=dtype, use_fast_variance=False, {KEEP}, rngs=rngs)",
        ),
        (
            "nn.LayerNorm(reduction_axes=(1, 2), feature_axes=-1, force_float32_reductions=True)",
            "nnx.LayerNorm(6, reduction_axes=(1, 2), feature_axes=-1, rngs=rngs)",
        ),
        (
            "nn.LayerNorm(reduction_axes=[-1, -2], feature_axes=[-1, -2])",
            "nnx.LayerNorm(4 * 6, reduction_axes=(-1, -2), feature_axes=(-1, -2), rngs=rngs)",
        ),
        (
            "nn.RMSNorm(1e-3, dtype, scale_init=nn.initializers.ones_init())",
            f"nnx.RMSNorm(6, epsilon=1e-3, dtype=dtype, scale_init=nnx.initializers.ones_init(), {KEEP}, "
            "rngs=rngs)",
        ),
        ("nn.RMSNorm(use_scale=False)", "nnx.RMSNorm(6, use_scale=False, rngs=rngs)"),
        ("nn.RMSNorm(feature_axes=(2, 3))", "nnx.RMSNorm(4 * 6, feature_axes=(2, 3), rngs=rngs)"),
        ("nn.GroupNorm(3)", "nnx.GroupNorm(6, num_groups=3, rngs=rngs)"),
        (
            "nn.GroupNorm(num_groups=None, group_size=2, epsilon=1e-5)",
            "nnx.GroupNorm(6, num_groups=None, group_size=2, epsilon=1e-5, rngs=rngs)",
        ),
        ("nn.GroupNorm(2, dtype=dtype)", f"nnx.GroupNorm(6, num_groups=2, dtype=dtype, {KEEP}, rngs=rngs)"),
        (
            "nn.GroupNorm(2, reduction_axes=(1, 2, 3), use_bias=False)",
            "nnx.GroupNorm(6, num_groups=2, reduction_axes=(1, 2, 3), use_bias=False, rngs=rngs)",
        ),
        (
            "nn.GroupNorm(2, reduction_axes=[-1])",
            "LinenGroupNorm(6, num_groups=2, reduction_axes=(-1,), rngs=rngs)",
        ),
        (
            "nn.GroupNorm(3, reduction_axes=(2, 3), use_fast_variance=False, dtype=dtype)",
            "LinenGroupNorm(6, num_groups=3, reduction_axes=(2, 3), use_fast_variance=False, dtype=dtype, "
            f"{KEEP}, "
            "rngs=rngs)",
        ),
        ("nn.InstanceNorm()", "nnx.InstanceNorm(6, rngs=rngs)"),
        (
            "nn.InstanceNorm(epsilon=1e-5, dtype=jnp.bfloat16)",
            f"nnx.InstanceNorm(6, epsilon=1e-5, dtype=jnp.bfloat16, {KEEP}, rngs=rngs)",
        ),
        (
            "nn.InstanceNorm(feature_axes=(-2, -1), use_scale=False)",
            "nnx.InstanceNorm(4 * 6, feature_axes=(-2, -1), use_scale=False, rngs=rngs)",
        ),
    ],
)
@pytest.mark.parametrize("input_dtype", [jnp.float32, BF16])
def test_norm(layer, expect, input_dtype):
    grads = input_dtype is jnp.float32 or layer.endswith("()")
    check(layer, x=X4.astype(input_dtype), dtype=BF16, grads=grads, expect=expect)


@pytest.mark.parametrize("layer", ["nn.LayerNorm()", "nn.RMSNorm()", "nn.GroupNorm(2)", "nn.InstanceNorm()"])
@pytest.mark.parametrize("mask", [MASK, MASK.astype(jnp.float32), None])
def test_masks(layer, mask):
    check(layer, "layer(x, mask=mask)", x=X4, mask=mask, grads=False)


def test_group_norm_with_a_mask_and_axes():
    check("nn.GroupNorm(2, reduction_axes=(2, 3))", "layer(x, mask=mask)", x=X4, mask=MASK.astype(jnp.int32))


def test_a_group_norm_of_a_matrix():
    check("nn.GroupNorm(num_groups=2)", x=X)


@pytest.mark.parametrize(
    ("layer", "expect"),
    [
        ("nn.BatchNorm()", "nnx.BatchNorm(6, rngs=rngs)"),
        (
            "nn.BatchNorm(momentum=0.9, epsilon=1e-3, dtype=jnp.float32)",
            "nnx.BatchNorm(6, momentum=0.9, epsilon=1e-3, dtype=jnp.float32, rngs=rngs)",
        ),
        (
            "nn.BatchNorm(None, -1, 0.5, use_scale=False)",
            "nnx.BatchNorm(6, axis=-1, momentum=0.5, use_scale=False, rngs=rngs)",
        ),
        (
            "nn.BatchNorm(use_scale=False, use_bias=False)",
            f"nnx.BatchNorm(6, use_scale=False, use_bias=False, {KEEP}, rngs=rngs)",
        ),
        ("nn.BatchNorm(dtype=dtype)", f"nnx.BatchNorm(6, dtype=dtype, {KEEP}, rngs=rngs)"),
        (
            "nn.BatchNorm(param_dtype=jnp.bfloat16, use_fast_variance=False)",
            f"nnx.BatchNorm(6, param_dtype=jnp.bfloat16, use_fast_variance=False, {KEEP}, rngs=rngs)",
        ),
        ("nn.BatchNorm(axis=1)", "nnx.BatchNorm(3, axis=1, rngs=rngs)"),
        ("nn.BatchNorm(axis=[-1])", "nnx.BatchNorm(6, axis=(-1,), rngs=rngs)"),
        ("nn.BatchNorm(axis=(1, 3))", "MultiAxisBatchNorm((3, 6), axis=(1, 3), rngs=rngs)"),
        (
            "nn.BatchNorm(axis=(-1, -2), dtype=dtype, use_bias=False)",
            f"MultiAxisBatchNorm((4, 6), axis=(-1, -2), dtype=dtype, use_bias=False, {KEEP}, rngs=rngs)",
        ),
    ],
)
@pytest.mark.parametrize("input_dtype", [jnp.float32, BF16])
@pytest.mark.parametrize("train", [True, False])
def test_batch_norm(layer, expect, input_dtype, train):
    names = {"x": X4.astype(input_dtype), "train": train, "dtype": BF16}
    grads = input_dtype is jnp.float32 or layer.endswith("()")
    check(layer, "layer(x, use_running_average=not train)", steps=2, grads=grads, expect=expect, **names)


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        ("nn.BatchNorm(use_running_average=not train)", "layer(x)"),
        ("nn.BatchNorm(not train)", "layer(x)"),
        ("nn.BatchNorm(use_running_average=None)", "layer(x, not train)"),
        ("nn.BatchNorm()", "layer(x, not train, mask=mask)"),
        ("nn.BatchNorm(use_running_average=absent)", "layer(x, use_running_average=not train)"),
        ("nn.BatchNorm(use_running_average=not train)", "layer(x, use_running_average=absent)"),
        ("nn.BatchNorm()", "layer(layer(x, not train) * 2 + 1, not train)"),
    ],
)
@pytest.mark.parametrize("train", [True, False])
def test_where_batch_norm_gets_its_mode_from(layer, call, train):
    check(layer, call, x=X4, mask=MASK.astype(jnp.float32), train=train, absent=None, grads=False)


def test_a_mode_flag_kept_in_the_constructor():
    text = "nnx.BatchNorm(6, use_running_average=True, rngs=rngs)"
    check("nn.BatchNorm(use_running_average=True)", x=X, keep_flag=True, expect=text)


def test_native_numerics_write_stock_layers():
    text = "nnx.LayerNorm(6, dtype=dtype, rngs=rngs)"
    check("nn.LayerNorm(dtype=dtype)", x=X, dtype=None, numerics="native", expect=text)
