"""Conv, ConvTranspose, ConvLocal: generated NNX code against Linen, bit for bit."""

import jax
import jax.numpy as jnp
import pytest

from tests.nnx.harness import array, check

X1, X2 = array(2, 6, 4), array(2, 6, 5, 4)
MASK = (array(3, 3, 4, 4, seed=1) > 0).astype(jnp.float32)


def doubled(*args, **kwargs):
    """A conv_general_dilated with Linen's calling convention."""
    assert "out_sharding" not in kwargs
    return 2.0 * jax.lax.conv_general_dilated(*args, **kwargs)


@pytest.mark.parametrize(
    ("layer", "x", "expect"),
    [
        ("nn.Conv(4, (3, 3))", X2, "nnx.Conv(4, 4, (3, 3), rngs=rngs)"),
        (
            "nn.Conv(features=4, kernel_size=(3, 3), strides=(2, 2))",
            X2,
            "nnx.Conv(4, 4, kernel_size=(3, 3), strides=(2, 2), rngs=rngs)",
        ),
        (
            "nn.Conv(4, (3, 3), (2, 1), 'VALID', use_bias=False)",
            X2,
            "nnx.Conv(4, 4, (3, 3), (2, 1), padding='VALID', use_bias=False, rngs=rngs)",
        ),
        ("nn.Conv(4, 3)", X1, "nnx.Conv(4, 4, 3, rngs=rngs)"),
        ("nn.Conv(4, [3], strides=2)", X1, "nnx.Conv(4, 4, (3,), strides=2, rngs=rngs)"),
        ("nn.Conv(4, (3,), strides=None)", X1, "nnx.Conv(4, 4, (3,), strides=None, rngs=rngs)"),
        ("nn.Conv(4, (3,), padding='CAUSAL')", X1, "nnx.Conv(4, 4, (3,), padding='CAUSAL', rngs=rngs)"),
        ("nn.Conv(4, (3,), padding='CIRCULAR')", X1, "nnx.Conv(4, 4, (3,), padding='CIRCULAR', rngs=rngs)"),
        ("nn.Conv(4, (3,), padding='REFLECT')", X1, "nnx.Conv(4, 4, (3,), padding='REFLECT', rngs=rngs)"),
        ("nn.Conv(4, (3, 3), padding=1)", X2, "nnx.Conv(4, 4, (3, 3), padding=1, rngs=rngs)"),
        (
            "nn.Conv(4, (3, 3), padding=[(1, 1), (0, 2)])",
            X2,
            "nnx.Conv(4, 4, (3, 3), padding=((1, 1), (0, 2)), rngs=rngs)",
        ),
        (
            "nn.Conv(4, (3, 3), padding=[(1, 1)] * 2)",
            X2,
            "nnx.Conv(4, 4, (3, 3), padding=tuple([(1, 1)] * 2), rngs=rngs)",
        ),
        (
            "nn.Conv(4, (3, 3), padding=[(p, p) for p in (0, 1)])",
            X2,
            "nnx.Conv(4, 4, (3, 3), padding=tuple((p, p) for p in (0, 1)), rngs=rngs)",
        ),
        (
            "nn.Conv(4, (3, 3), kernel_dilation=(2, 2), input_dilation=[1, 2], padding=2)",
            X2,
            "nnx.Conv(4, 4, (3, 3), kernel_dilation=(2, 2), input_dilation=(1, 2), padding=2, rngs=rngs)",
        ),
        (
            "nn.Conv(8, (3,), feature_group_count=4, dtype=jnp.bfloat16)",
            X1,
            "nnx.Conv(4, 8, (3,), feature_group_count=4, dtype=jnp.bfloat16, rngs=rngs)",
        ),
        (
            "nn.Conv(4, (3, 3), mask=MASK, kernel_init=nn.zeros)",
            X2,
            "nnx.Conv(4, 4, (3, 3), mask=MASK, kernel_init=nnx.initializers.zeros, rngs=rngs)",
        ),
        ("nn.Conv(4, (3,))", array(6, 4), "nnx.Conv(4, 4, (3,), rngs=rngs)"),
        ("nn.Conv(4, (3,))", array(2, 3, 6, 4), "nnx.Conv(4, 4, (3,), rngs=rngs)"),
        (
            "nn.Conv(4, (3,), kernel_init=nn.initializers.kaiming_normal(), param_dtype=jnp.bfloat16)",
            X1.astype(jnp.bfloat16),
            "nnx.Conv(4, 4, (3,), kernel_init=nnx.initializers.kaiming_normal(), param_dtype=jnp.bfloat16, "
            "rngs=rngs)",
        ),
        (
            "nn.Conv(4, (3,), conv_general_dilated=doubled, conv_general_dilated_cls=None)",
            X1,
            "nnx.Conv(4, 4, (3,), conv_general_dilated=PlainConvGeneralDilated(doubled), rngs=rngs)",
        ),
    ],
)
def test_conv(layer, x, expect):
    window_only = "padding" in layer and "dtype" not in layer
    check(layer, x=x, MASK=MASK, doubled=doubled, grads=not window_only, expect=expect)


@pytest.mark.parametrize(
    ("layer", "x", "expect"),
    [
        ("nn.ConvTranspose(3, (3, 3))", X2, "nnx.ConvTranspose(4, 3, (3, 3), rngs=rngs)"),
        (
            "nn.ConvTranspose(features=3, kernel_size=(4, 4), strides=(2, 2), padding='VALID')",
            X2,
            "nnx.ConvTranspose(4, 3, kernel_size=(4, 4), strides=(2, 2), padding='VALID', rngs=rngs)",
        ),
        (
            "nn.ConvTranspose(3, [3], [2], 'CIRCULAR')",
            X1,
            "nnx.ConvTranspose(4, 3, (3,), (2,), padding='CIRCULAR', rngs=rngs)",
        ),
        (
            "nn.ConvTranspose(3, (3,), (2,), 'CIRCULAR', transpose_kernel=True, use_bias=False)",
            X1,
            "nnx.ConvTranspose(4, 3, (3,), (2,), padding='CIRCULAR', transpose_kernel=True, "
            "use_bias=False, rngs=rngs)",
        ),
        (
            "nn.ConvTranspose(3, 3, kernel_dilation=[2], dtype=jnp.bfloat16)",
            X1,
            "nnx.ConvTranspose(4, 3, 3, kernel_dilation=(2,), dtype=jnp.bfloat16, rngs=rngs)",
        ),
    ],
)
def test_conv_transpose(layer, x, expect):
    check(layer, x=x, expect=expect)


@pytest.mark.parametrize(
    ("layer", "x", "expect"),
    [
        ("nn.ConvLocal(3, (3,))", X1, "ConvLocal(4, 3, (3,), input_shape=(6,), rngs=rngs)"),
        (
            "nn.ConvLocal(3, (3, 2), (2, 1), 'VALID')",
            X2,
            "ConvLocal(4, 3, (3, 2), (2, 1), padding='VALID', input_shape=(6, 5), rngs=rngs)",
        ),
        (
            "nn.ConvLocal(features=3, kernel_size=[3], padding='CIRCULAR', use_bias=False, "
            "kernel_dilation=2)",
            X1,
            "ConvLocal(4, 3, kernel_size=(3,), padding='CIRCULAR', use_bias=False, kernel_dilation=2, "
            "input_shape=(6,), rngs=rngs)",
        ),
        (
            "nn.ConvLocal(3, (3,), padding='CAUSAL', dtype=jnp.bfloat16)",
            X1,
            "ConvLocal(4, 3, (3,), padding='CAUSAL', dtype=jnp.bfloat16, input_shape=(6,), rngs=rngs)",
        ),
        (
            "nn.ConvLocal(3, 3, padding=1)",
            array(6, 4),
            "ConvLocal(4, 3, 3, padding=1, input_shape=(6,), rngs=rngs)",
        ),
    ],
)
def test_conv_local(layer, x, expect):
    check(layer, x=x, expect=expect)
