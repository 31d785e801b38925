"""A fixed sample of what `python -m benchmarks.linen_fuzz` does at length."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import pytest

from benchmarks.linen_fuzz.__main__ import generated
from benchmarks.linen_fuzz.grammar.classes import HEADER
from benchmarks.linen_fuzz.judging import Verdict, judge
from benchmarks.linen_fuzz.program import Model, Program
from benchmarks.linen_fuzz.recombination import CHANGES, originals, recombined
from benchmarks.linen_fuzz.shrinking import shrink
from benchmarks.linen_fuzz.traces import Value, follow

SEED = 11


@pytest.mark.parametrize("number", range(8))
def test_generated_classes_are_converted_rightly_or_not_at_all(number: int) -> None:
    verdict = judge(generated(SEED, number))
    assert not verdict.failed, verdict


@pytest.mark.parametrize("number", range(4))
def test_changed_fixtures_are_converted_rightly_or_not_at_all(number: int) -> None:
    verdict = judge(generated(SEED, number, fixtures=True))
    assert not verdict.failed, verdict


def test_a_seed_gives_the_same_programs() -> None:
    assert generated(SEED, 3) == generated(SEED, 3)
    assert generated(SEED, 3) != generated(SEED, 4)
    assert recombined(random.Random(5)) == recombined(random.Random(5))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_changes_something(change: object) -> None:
    import ast

    text = "def f(self, x):\n    n = 3\n    m = nn.Dense(n)(x)\n    return m"
    tries = []
    for seed in range(20):
        tree = ast.parse(text)
        change(tree.body[0], random.Random(seed))  # type: ignore[operator]
        tries.append(ast.unparse(ast.fix_missing_locations(tree)))
    assert any(found != text for found in tries)
    assert len(originals()) > 20


CLASS = """
class Net(nn.Module):
    width: int = 4
    unused: int = 3

    @nn.compact
    def __call__(self, x, train: bool = False):
        y = nn.Dense(self.unused)(x)
        x = nn.Dense(self.width)(x)
        x = nn.tanh(x)
        x = nn.Dropout(0.5)(x, deterministic=not train)
        return nn.LayerNorm()(x)
"""
PROGRAM = Program(
    HEADER + CLASS, (Model("Net(6)", ("jnp.ones((2, 3))",), {"train": "False"}, {"train": "True"}),)
)


def test_the_judge_proves_without_computing() -> None:
    verdict = judge(PROGRAM)
    assert (verdict.kind, verdict.run) == ("equal", False)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("nnx.tanh(x)", "nnx.sigmoid(x)", "WRONG"),
        ("deterministic=not train", "deterministic=train", "WRONG"),
        ("x = self.dense_1(x)", "x = self.dense_1(hidden)", "BROKEN"),
        ("x = self.dense_1(x)", "x = self.dense_9(x)", "BROKEN"),
    ],
)
def test_the_judge_sees_mistakes(old: str, new: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.linen_fuzz import judging

    fix = judging._fix

    def wrong(folder):
        result = fix(folder)
        (path,) = result.changed
        text = result.after[path].text
        assert old in text
        result.after[path] = type(result.after[path])(text.replace(old, new))
        return result

    monkeypatch.setattr(judging, "_fix", wrong)
    assert judge(PROGRAM, numbers=False).kind == kind


def test_another_initializer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.linen_fuzz import judging

    fix = judging._fix

    def wrong(folder):
        result = fix(folder)
        (path,) = result.changed
        text = result.after[path].text.replace(
            "in_features, self.width, rngs",
            "in_features, self.width, kernel_init=nnx.initializers.he_normal(), rngs",
        )
        result.after[path] = type(result.after[path])(text)
        return result

    monkeypatch.setattr(judging, "_fix", wrong)
    verdict = judge(PROGRAM, numbers=False)
    assert (verdict.kind, "initial value of dense_1/kernel" in verdict.detail) == ("WRONG", True)


def test_failing_programs_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.linen_fuzz import shrinking

    def judged(program: Program, *, numbers: bool = True) -> Verdict:
        return Verdict("WRONG" if "tanh" in program.classes else "equal")

    monkeypatch.setattr(shrinking, "judge", judged)
    small, verdict = shrink(PROGRAM, Verdict("WRONG"))
    assert verdict.kind == "WRONG"
    assert "tanh" in small.classes
    assert "Dropout" not in small.classes and "unused" not in small.classes
    assert small.models[0].construction == "Net(6)"


def test_digests_tell_computations_apart() -> None:
    def digest(function) -> str:
        traced = jax.make_jaxpr(function)(jnp.ones((2, 3)))
        (found,) = follow(traced, [Value("x", shape=(2, 3))])
        return found.digest

    assert digest(lambda x: x * 2 + 1) == digest(lambda x: 1 + 2 * x)
    assert digest(lambda x: x[:, None, :].reshape(3, 2)) == digest(lambda x: x.reshape(3, 2))
    assert digest(lambda x: x - 1) != digest(lambda x: 1 - x)
    assert digest(lambda x: x.T) != digest(lambda x: x.reshape(3, 2))
    assert digest(jax.nn.relu) != digest(lambda x: jnp.maximum(x, 0))  # other gradients at 0
