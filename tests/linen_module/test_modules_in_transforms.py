"""Submodules that are handed to JAX's transforms: pure ones move, all others stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

SOURCE = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


def normalised(x):
    return nn.LayerNorm()(x)


class Inner(nn.Module):
    width: int = 4
    act: str = "relu"

    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(self.width)(x))


class Model(nn.Module):
    def setup(self):
        self.inner = Inner(3)
        self.out = nn.Dense(2)

    def __call__(self, x):
        return self.out(jax.vmap(self.inner)(x))
"""
STATEFUL = {
    "dropout": "nn.Dropout(0.5, deterministic=False)(nn.Dense(self.width)(x))",
    "batch statistics": "nn.BatchNorm(use_running_average=True)(x)",
    "a random stream": 'x + jax.random.normal(self.make_rng("noise"), x.shape)',
    "a variable": 'x + self.variable("state", "mean", jnp.zeros, (1,)).value',
    "what it sows": 'self.sow("intermediates", "x", x) or x',
    "whether it is initialised": "x if self.is_initializing() else 2 * x",
    "a function that makes a layer": "normalised(x)",
    "a lifted transform": "nn.remat(nn.Dense)(self.width)(x)",
    "attention with dropout": "nn.MultiHeadDotProductAttention(2, dropout_rate=0.1)(x, x)",
    "attention with a cache": "nn.SelfAttention(2, decode=True)(x)",
    "attention whose options aren't seen": "nn.SelfAttention(2, **self.options)(x)",
    "attention by a function": "nn.SelfAttention(2, attention_fn=self.attend)(x)",
    "attention through a partial": "partial(nn.SelfAttention, 2)()(x)",
    "a sequence with dropout": "nn.Sequential([nn.Dense(2), nn.Dropout(0.5, deterministic=False)])(x)",
    "a recurrent layer": "nn.RNN(nn.GRUCell(2))(x)",
}


def _convert(tmp_path: Path, source: str) -> tuple[str, set[str]]:
    path = tmp_path / "model.py"
    path.write_text(source)
    text, conversions = convert(path)
    return text, {name.rpartition(".")[2] for name in conversions.converted}


def test_a_pure_module_is_mapped(tmp_path: Path) -> None:
    text, converted = _convert(tmp_path, SOURCE)
    assert converted == {"Inner", "Model"}
    assert "return self.out(jax.vmap(self.inner)(x))" in text
    assert "self.inner = Inner(3, in_features=in_features, rngs=rngs)" in text


@pytest.mark.parametrize(
    "layer",
    [
        "nn.MultiHeadDotProductAttention(2, qkv_features=4)(x, x)",
        "nn.SelfAttention(num_heads=2)(x)",
        "nn.Sequential([nn.Dense(2), nn.tanh])(x)",
        "nn.GRUCell(2)(x, x)[1]",
    ],
)
def test_layers_without_state_are_pure(tmp_path: Path, layer: str) -> None:
    _, converted = _convert(tmp_path, SOURCE.replace("nn.relu(nn.Dense(self.width)(x))", layer, 1))
    assert converted == {"Inner", "Model"}


STATISTICS = """\
NORMS = {"batch": nn.BatchNorm}


class Statistics(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=True)(x)


def statistics():
    return Statistics()


"""


@pytest.mark.parametrize("layer", ['NORMS["batch"](use_running_average=True)(x)', "statistics()(x)"])
def test_what_tables_and_functions_make_is_looked_at(tmp_path: Path, layer: str) -> None:
    source = SOURCE.replace("nn.relu(nn.Dense(self.width)(x))", layer, 1)
    _, converted = _convert(tmp_path, source.replace("def normalised", f"{STATISTICS}def normalised", 1))
    assert "Model" not in converted


@pytest.mark.parametrize("case", STATEFUL)
def test_state_and_draws_keep_it(tmp_path: Path, case: str) -> None:
    source = SOURCE.replace("nn.relu(nn.Dense(self.width)(x))", STATEFUL[case], 1)
    _, converted = _convert(tmp_path, source)
    assert "Model" not in converted


CLOSURES = {
    "a mapped function": "jax.vmap(lambda row: self.inner(row))(x)",
    "a scanned function": "jax.lax.scan(lambda c, row: (c, self.inner(row)), 0, x)[1]",
    "a mapped loop": "jax.lax.map(lambda row: self.inner(row), x)",
}


@pytest.mark.parametrize("case", CLOSURES)
def test_functions_that_call_modules_move_if_these_are_pure(tmp_path: Path, case: str) -> None:
    source = SOURCE.replace("jax.vmap(self.inner)(x)", CLOSURES[case])
    _, converted = _convert(tmp_path, source)
    assert "Model" in converted
    source = source.replace("nn.relu(nn.Dense(self.width)(x))", STATEFUL["dropout"])
    _, converted = _convert(tmp_path, source)
    assert "Model" not in converted


def test_random_keys_are_not_drawn_in_transforms(tmp_path: Path) -> None:
    drawn = 'jax.vmap(lambda row: row + jax.random.normal(self.make_rng("noise"), row.shape))(x)'
    _, converted = _convert(tmp_path, SOURCE.replace("jax.vmap(self.inner)(x)", drawn))
    assert "Model" not in converted


@pytest.mark.parametrize(
    ("old", "new"),
    {
        "a module that it is given": ("Inner(3)", "Inner(3, nn.Dropout(0.5))"),
        "a function that it is given": ("Inner(3)", "Inner(3, lambda x: normalised(x))"),
        "a module by default": ('act: str = "relu"', "act: nn.Module = nn.Dropout(0.5)"),
        "a nested module with state": ("nn.Dense(self.width)(x)", "Noisy()(x)"),
        "a transform around it": ("Inner(3)", "nn.remat(Inner)(3)"),
        "another transform": ("jax.vmap(self.inner)", "jax.pmap(self.inner)"),
    }.values(),
)
def test_other_modules_stay(tmp_path: Path, old: str, new: str) -> None:
    noisy = "\n\nclass Noisy(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n"
    noisy += "        return nn.Dropout(0.5)(nn.Dense(2)(x), deterministic=False)\n"
    _, converted = _convert(tmp_path, SOURCE.replace(old, new, 1) + noisy)
    assert "Model" not in converted


CHOSEN = """\


class Chosen(nn.Module):
    kind: str

    def setup(self):
        if self.kind == "net":
            self.gamma = Inner(3)
        else:
            self.gamma = Other(3)

    def __call__(self, t):
        return TRANSFORM


class Other(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return BODY
"""


@pytest.mark.parametrize("transform", ["jax.jvp(self.gamma, (t,), (t,))[0]", "jax.vmap(self.gamma)(t)"])
@pytest.mark.parametrize("state", ["none", *STATEFUL])
def test_one_of_several_modules_moves_if_all_are_pure(tmp_path: Path, transform: str, state: str) -> None:
    body = STATEFUL.get(state, "nn.Dense(self.width)(x)")
    source = SOURCE + CHOSEN.replace("TRANSFORM", transform).replace("BODY", body)
    text, converted = _convert(tmp_path, source)
    assert ("Chosen" in converted) == (state == "none")
    assert (f"return {transform}" in text) or state != "none"


def test_layers_with_state_are_no_base_of_pure_ones(tmp_path: Path) -> None:
    source = SOURCE.replace(
        "class Inner(nn.Module):\n    width: int = 4\n", "class Inner(nn.BatchNorm):\n", 1
    )
    source = source.replace("self.width", "3").replace("Inner(3)", "Inner(use_running_average=True)")
    _, converted = _convert(tmp_path, source)
    assert "Model" not in converted


TRACED = {
    "a function that is rematerialised": "jax.checkpoint(lambda y: self.inner(y))(x)",
    "a method": "jax.remat(self.step)(x)",
    "a compiled function": "jax.jit(lambda y: self.inner(y))(x)",
    "the module itself": "jax.checkpoint(self.inner)(x)",
    "a decorated function": "body(x)",
}


@pytest.mark.parametrize("case", TRACED)
@pytest.mark.parametrize("state", ["none", "dropout", "batch statistics", "a random stream"])
def test_what_jax_traces_may_call_pure_modules_only(tmp_path: Path, case: str, state: str) -> None:
    old = "        return self.out(jax.vmap(self.inner)(x))\n"
    body = "        @jax.checkpoint\n        def body(y):\n            return self.inner(y)\n\n"
    step = "\n    def step(self, y):\n        return self.inner(y)\n"
    source = SOURCE.replace(old, f"{body}        return self.out({TRACED[case]})\n{step}")
    if state != "none":
        source = source.replace("nn.relu(nn.Dense(self.width)(x))", STATEFUL[state], 1)
    _, converted = _convert(tmp_path, source)

    assert ("Model" in converted) == (state == "none")
