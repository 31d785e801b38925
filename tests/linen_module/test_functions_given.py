"""Functions that modules get: whose `self` they mean, what is known of those that a field gets, dicts of arrays."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

HEADER = "from typing import Any, Callable, Optional\n\nimport flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"
INNER = """
    class Inner(nn.Module):
        fn: Callable
        features: int = 8

        def part(self, x):
            return x[..., :2]

        @nn.compact
        def __call__(self, x):
            return self.fn(x)


    class Outer(nn.Module):
        features: int = 3

        def part(self, x):
            return x[..., : self.features]

        @nn.compact
        def __call__(self, x):
            y = Inner({given}, 8)(x)
            return nn.Dense(4)(y)
"""


def _convert(tmp_path: Path, code: str) -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code))
    return convert(path)


@pytest.mark.parametrize(
    "given", ["lambda v: v[..., : self.features]", "self.part", "lambda v: self.part(v)"]
)
def test_functions_mean_the_module_whose_code_made_them(tmp_path: Path, given: str) -> None:
    written, conversions = _convert(tmp_path, INNER.format(given=given))
    assert not conversions.refused
    assert "nnx.Linear(min(self.features, in_features), 4, rngs=rngs)" in written


def test_functions_that_call_a_submodule_are_not_followed(tmp_path: Path) -> None:
    code = INNER.replace("{given}", "lambda v: nn.Dense(self.features)(v)")
    _, conversions = _convert(tmp_path, code)
    assert "model.Outer" in conversions.refused


POOLED = """
    def halved(x, window_shape, strides):
        return x[:, ::2, ::2]


    def wider(x, window_shape, strides):
        return jnp.concatenate([x, x], axis=-1)


    class Block(nn.Module):
        pooling: Callable

        @nn.compact
        def __call__(self, x):
            x = self.pooling(nn.Conv(4, (3, 3))(x), window_shape=(2, 2), strides=(2, 2))
            return nn.Conv(6, (1, 1))(x)


    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Block({second})(Block({first})(x))
"""


@pytest.mark.parametrize("second", ["nn.max_pool", "halved", "nn.avg_pool"])
def test_functions_that_constructions_give_a_field_tell_sizes(tmp_path: Path, second: str) -> None:
    written, conversions = _convert(tmp_path, POOLED.format(first="nn.max_pool", second=second))
    assert not conversions.refused
    assert "nnx.Conv(4, 6, (1, 1), rngs=rngs)" in written


@pytest.mark.parametrize("second", ["wider", "lambda *a, **k: a[0]", "unknown"])
def test_functions_that_differ_or_are_not_known_tell_nothing(tmp_path: Path, second: str) -> None:
    _, conversions = _convert(tmp_path, POOLED.format(first="nn.max_pool", second=second))
    assert conversions.refused["model.Block"].reason == "unknown-size"


def test_a_function_that_is_handed_on_stays_as_it_is(tmp_path: Path) -> None:
    code = POOLED.replace("return nn.Conv(6", "print(self.pooling)\n            return nn.Conv(6")
    _, conversions = _convert(tmp_path, code.format(first="nn.max_pool", second="nn.max_pool"))
    assert "model.Block" in conversions.refused


WEIGHTS = """
    class Layer(nn.Module):
        weights: Optional[dict] = None
        config: Optional[dict] = None

        @nn.compact
        def __call__(self, x):
            init = nn.initializers.zeros if self.weights is None else lambda *_: {value}
            return nn.Dense(self.config["width"], bias_init=init)(x)


    class Net(nn.Module):
        path: str = ""

        def setup(self):
            self.weights = load(self.path)

        @nn.compact
        def __call__(self, x):
            return Layer(self.weights["layer"], dict(width=3))(x)
"""


@pytest.mark.parametrize("value", ['jnp.array(self.weights["bias"])', 'self.weights["dense"]["bias"]'])
def test_dicts_of_arrays_are_held_as_one_value(tmp_path: Path, value: str) -> None:
    written, conversions = _convert(tmp_path, WEIGHTS.format(value=value))
    assert not conversions.refused
    assert "self.weights = static_dict(weights)" in written
    assert "self.config = config" in written


def test_setup_runs_before_what_a_compact_method_makes(tmp_path: Path) -> None:
    written, _ = _convert(tmp_path, WEIGHTS.format(value='self.weights["bias"]'))
    net = written[written.index("class Net") :]
    assert net.index("self.weights = static_dict(load(self.path))") < net.index("self.layer = Layer(")


def test_a_shape_that_is_asked_for_tells_what_an_initializer_loads(tmp_path: Path) -> None:
    code = """
        class Scale(nn.Module):
            init: Callable

            @nn.compact
            def __call__(self, x):
                mean = self.variable("stats", "mean", self.init, (x.shape[-1],))
                return x * mean.value


        class Net(nn.Module):
            weights: Any

            @nn.compact
            def __call__(self, x):
                x = Scale({init})(x)
                return nn.Dense(3)(x)
    """
    _, conversions = _convert(tmp_path, code.format(init='lambda *_: jnp.array(self.weights["mean"])'))
    assert "model.Net" not in conversions.refused
    _, conversions = _convert(tmp_path, code.format(init="lambda shape: made(shape, self.weights)"))
    assert "model.Net" in conversions.refused
