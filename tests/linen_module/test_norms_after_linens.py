"""Norms that call `_normalize(self, ...)`, the function of Flax that makes parameters of the module that it gets."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

NORM = """\
import flax.linen as nn
import jax.numpy as jnp
from flax.linen.normalization import _canonicalize_axes, _compute_stats, _normalize


class Norm(nn.Module):
    axis: int = -1
    epsilon: float = 1e-5
    use_scale: bool = True

    @nn.compact
    def __call__(self, x, train=True):
        axes = _canonicalize_axes(x.ndim, self.axis)
        others = tuple(i for i in range(x.ndim) if i not in axes)
        sizes = [x.shape[i] for i in axes]
        seen = self.variable("batch_stats", "mean", jnp.zeros, sizes)
        mean, var = _compute_stats(x, others, None)
        mean = jnp.where(train, mean, seen.value)
        return _normalize(
            self, x, mean, 0.9 * var, others, axes, None, jnp.float32, self.epsilon,
            True, self.use_scale, nn.initializers.zeros, nn.initializers.ones)


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        return Norm()(nn.Dense(4)(x), train)
"""


def fixed(code: str = NORM) -> str:
    path = Path("/project/norms.py")
    return fix_files({path: code}, resolve_rules(["linen-module"]))[0][path]


def test_the_class_makes_the_parameters() -> None:
    text = fixed()
    assert "(nn.Module)" not in text and "Norm(in_features=(4,), rngs=rngs)" in text
    assert "self.use_scale else None\n        return nnx.nn.normalization._normalize(\n" in text
    assert (
        "            0.9 * var,\n            scale,\n            self.bias[...],\n            others,\n"
        in text
    )


def test_what_the_function_gets_by_name_is_known_too() -> None:
    start, end = NORM.index("self, x, mean,"), NORM.index("\n\n\nclass Model")
    given = """mdl=self, x=x, mean=mean, var=var, reduction_axes=others, feature_axes=axes, dtype=None,
            param_dtype=jnp.float32, epsilon=self.epsilon, use_bias=False, use_scale=not self.use_scale,
            bias_init=nn.initializers.zeros, scale_init=nn.initializers.ones)"""
    text = fixed(NORM[:start] + given + NORM[end:])
    assert "(nn.Module)" not in text and "self.bias" not in text
    assert "scale = self.scale[...] if (not self.use_scale) else None" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self, x, mean,", "self, x, 0.0,"),  # NNX's function wants the features' sizes
        ("jnp.where(train, mean, seen.value)", "jnp.sum(mean)"),
        ("axes = _canonicalize_axes(x.ndim, self.axis)", "axes = (self.axis,)"),
        ("_canonicalize_axes(x.ndim", "_canonicalize_axes(3"),
        ("mean, var =", "x = x[None]\n        mean, var ="),
        ("nn.initializers.ones)", "nn.initializers.ones, False)"),
        ("sizes =", "scale = 2.0\n        sizes ="),
        ("    use_scale: bool = True\n", "    use_scale: bool = True\n    bias: bool = True\n"),
        ("return _normalize(", "return 2.0 * _normalize("),
        ("self, x, mean,", "Norm(), x, mean,"),
        ("class Norm", "nnx = None\n\n\nclass Norm"),
    ],
)
def test_other_calls_stay(old: str, new: str) -> None:
    assert old in NORM
    text = fixed(NORM.replace(old, new))
    assert "class Norm(nn.Module)" in text and "_normalize(\n" in text and "nnx.nn" not in text


def test_nothing_changes_where_another_class_would_stay_for_it() -> None:
    code = NORM.replace("class Model(nn.Module):", "class Model(nn.Module):\n    layers: tuple")
    code = code.replace("Norm()(", "Norm()(self.layers[0](x) + ")
    text = fixed(code)
    assert "class Norm(nn.Module)" in text and "nnx.bridge.ToNNX(Norm(), rngs=rngs)" in text
    assert "nnx.nn" not in text
