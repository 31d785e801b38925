"""Local functions that a condition over fields chooses, and that create modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.test_shared_helpers import written

CODE = """
class Model(nn.Module):
    norm: bool = True
    scale: float = 2.0

    @nn.compact
    def __call__(self, x, train=False):
        n = 3
        if {test}:
            f = {first}
        else:
            f = {other}
        {body}
        return nn.Dense(2)(x)
"""
CASE = {
    "test": "self.norm",
    "first": "lambda x: nn.LayerNorm()(x)",
    "other": "lambda x: x",
    "body": "x = f(x)",
}


def test_the_module_of_one_call_exists_under_the_condition(tmp_path: Path) -> None:
    text, refused = written(tmp_path, CODE.format(**CASE))
    assert not refused
    assert "if self.norm:\n            self.layer_norm = nnx.LayerNorm(in_features, rngs=rngs)" in text
    assert "f = lambda x: self.layer_norm(x)" in text


def test_several_calls_hand_their_modules_over(tmp_path: Path) -> None:
    text, refused = written(tmp_path, CODE.format(**{**CASE, "body": "x = f(f(x) + 1)"}))
    assert not refused
    assert "f = lambda layer_norm, x: layer_norm(x)" in text
    assert "f = lambda layer_norm, x: x" in text
    assert "x = f(self.layer_norm_1, f(self.layer_norm_0, x) + 1)" in text


def test_sizes_follow_the_condition(tmp_path: Path) -> None:
    case = {**CASE, "first": "lambda x: nn.Dense(5)(x)", "other": "lambda x: jnp.repeat(x, 2, -1)"}
    text, refused = written(tmp_path, CODE.format(**case))
    assert not refused
    assert "nnx.Linear(5 if self.norm else in_features * 2, 2, rngs=rngs)" in text


def test_a_condition_in_a_lambda_stays_one(tmp_path: Path) -> None:
    code = """
    class Model(nn.Module):
        norm: bool = True

        @nn.compact
        def __call__(self, x):
            f = lambda x: nn.LayerNorm()(x) if self.norm else x
            return nn.Dense(2)(f(x))
    """
    text, refused = written(tmp_path, code)
    assert not refused
    assert "if self.norm:\n            self.layer_norm = nnx.LayerNorm(in_features, rngs=rngs)" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"test": "train"},
        {"test": "x.sum() > 0"},
        {"first": "lambda x: nn.Dense(n)(x)", "body": "n = 4\n        x = f(x)"},
        {
            "first": "lambda x, n: nn.Dense(n)(x)",
            "other": "lambda x, m: nn.Dense(m)(x)",
            "body": "x = f(x, 3)",
        },
        {"first": "lambda x, n=4: nn.Dense(n)(x)"},
        {"body": "x = jax.tree.map(f, [x, x])[0]"},
        {"body": "x = f(x)\n        x = f(x)\n        g = f\n        x = g(x)"},
    ],
)
def test_other_choices_are_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    text, refused = written(tmp_path, CODE.format(**{**CASE, **changes}))
    assert refused
    assert "class Model(nn.Module):" in text
