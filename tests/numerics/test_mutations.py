"""The mutation suite itself: its operators, and a sample of it; `python -m benchmarks.mutations` runs all."""

import ast

import pytest

from benchmarks.mutants import mutants
from benchmarks.mutations import Baseline, differ, try_case
from tests.linen_module.fixture import cases

NET = """
from flax import nnx
import jax.numpy as jnp


class Net(nnx.Module):
    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.width = width
        self.first = nnx.Linear(width, width, rngs=rngs)
        self.second = nnx.Linear(width, width, rngs=rngs)
        self.layers = nnx.List([nnx.LayerNorm(2 * width + 1, epsilon=1e-6, rngs=rngs)])
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x, train):
        x = self.first(x)
        y = x + self.second(nnx.relu(x))
        for layer in self.layers:
            y = layer(y)
        mean, scale = self.split(jnp.mean(y, axis=-1))
        return self.dropout(0.5 * mean.reshape(x.shape[0], -1), deterministic=not train)
"""


def test_each_mutant_is_a_program_with_one_change():
    found = mutants(NET)
    assert len({m.text for m in found}) == len(found)
    for mutant in found:
        ast.parse(mutant.text)
        changed = [a for a, b in zip(NET.splitlines(), mutant.text.splitlines(), strict=True) if a != b]
        assert len(changed) == 1, str(mutant)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("activation", "nnx.relu(x)", "nnx.gelu(x)"),
        ("reduction", "jnp.mean(y", "jnp.sum(y"),
        ("axis", "axis=-1", "axis=-2"),
        ("Linear: wrong use_bias", "rngs=rngs)\n        self.second", "rngs=rngs, use_bias=False)\n        self.second"),
        ("LayerNorm: wrong epsilon", "epsilon=1e-6", "epsilon=1e-3"),
        ("dropout rate", "Dropout(0.1", "Dropout(0.5 * (0.1) + 0.17"),
        ("mode turned round", "deterministic=not train", "deterministic=(not not train)"),
        ("always evaluating", "deterministic=not train", "deterministic=True"),
        ("step left out", "x = self.first(x)", "x = x"),
        ("term dropped", "y = x + self.second(nnx.relu(x))", "y = (x)"),
        ("sign", "y = x + self", "y = (x - self"),
        ("factor", "0.5 * mean", "(1.01 * 0.5 * mean"),
        ("transposed flatten", "mean.reshape", "mean.swapaxes(1, -1).reshape"),
        ("layers in reverse", "in self.layers", "in reversed(list(self.layers))"),
        ("results swapped", "mean, scale =", "scale, mean ="),
        ("one module used twice", "second = nnx.Linear(width, width, rngs=rngs)", "second = self.first"),
        ("another module", "self.second(", "self.first("),
        ("gradient stopped", "return self.dropout", "return __import__('jax').lax.stop_gradient(self.dropout"),
    ],
)  # fmt: skip
def test_kinds_of_mistakes(kind, old, new):
    assert NET.count(old) == 1
    expected = NET.replace(old, new)
    prefix = expected[: expected.index(new) + len(new)]
    assert any(m.kind == kind and m.text.startswith(prefix) for m in mutants(NET))


def test_sizes_and_modules_of_other_shapes_are_left_alone():
    assert not any("2 * width" in m.before for m in mutants(NET))


def test_every_mistake_in_two_fixtures_is_caught():
    chosen = [case for case in cases() if case.folder.name in ("autoencoder-setup", "vae")]
    outcomes = [outcome for case in chosen for outcome in try_case(case, limit=10, seed=0)]
    assert len(outcomes) >= 20
    assert [str(o.mutant) for o in outcomes if not o.sign] == []


def test_what_changes_no_number_is_told_from_what_does():
    case = next(c for c in cases() if c.folder.name == "blocks-of-some-layers" and "attend" in c.model)
    right = (case.folder / "after.py").read_text()
    baseline = Baseline(case)
    (idle,) = {
        m.text for m in mutants(right) if m.kind == "layers in reverse" and "range(self.depth)" in m.before
    }
    wrong = next(m.text for m in mutants(right) if m.kind == "step left out" and "attn" in m.before)
    computed = baseline.computes(right)
    assert not differ(computed, baseline.computes(right))
    assert not differ(computed, baseline.computes(idle))
    assert differ(computed, baseline.computes(wrong))
