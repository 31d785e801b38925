"""The analysis of one class ends, whatever the code around it does, and after the same steps on every machine."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.linen.interpreter import frame
from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"
RECURSIVE_HELPER = """
    def names_in(specs):
        names = set()
        for spec in specs:
            if spec is None:
                continue
            elif isinstance(spec, str):
                names.add(spec)
            else:
                names.update(names_in(spec))
        return list(names)


    def constrained(x, specs):
        if names_in(specs):
            x = jax.lax.stop_gradient(x)
        return x


    class Model(nn.Module):
        specs: tuple

        @nn.compact
        def __call__(self, x):
            for width in (4, 8):
                x = constrained(nn.Dense(width)(x), self.specs)
            return x
"""


NESTED_INPUTS = """
    def joined(inputs):
        if hasattr(inputs, "items"):
            parts = []
            for name, value in sorted(inputs.items()):
                if name == "image":
                    parts.append(jnp.reshape(value, (*value.shape[:-2], -1)))
                else:
                    parts.append(joined(value))
            return jnp.concatenate(parts, axis=-1)
        return inputs


    class Policy(nn.Module):
        heads: int
        width: int = 4

        @nn.compact
        def __call__(self, observations):
            found = []
            for _ in range(self.heads):
                x = jax.lax.stop_gradient(joined(observations))
                found.append(jnp.tanh(x))
            return nn.Dense(self.width)(jnp.stack(found))
"""


def _convert(tmp_path: Path, code: str) -> Conversions:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code))
    return convert(path)[1]


def test_a_helper_that_calls_itself_does_not_use_up_the_budget(tmp_path: Path) -> None:
    conversions = _convert(tmp_path, RECURSIVE_HELPER)
    assert not conversions.refused
    assert list(conversions.converted) == ["model.Model"]


def test_what_is_within_unknown_inputs_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "BUDGET", 4_000)
    (refusal,) = _convert(tmp_path, NESTED_INPUTS).refused.values()
    assert refusal.reason == "unknown-size"


def test_what_is_appended_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        def scales(x):
            found = []
            for _ in range(3):
                found.append(jnp.tanh(x))
            return jnp.concatenate(found, axis=-1)


        def scales_of_scales(x):
            found = []
            for _ in range(3):
                found.append(scales(x))
            return jnp.concatenate(found, axis=-1)


        class Tower(nn.Module):
            @nn.compact
            def __call__(self, x):
                found = []
                for _ in range(3):
                    found.append(scales_of_scales(x))
                return nn.Dense(4)(jnp.concatenate(found, axis=-1))


        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dense(2)(Tower()(x))
    """
    monkeypatch.setattr(frame, "BUDGET", 700)
    conversions = _convert(tmp_path, code)
    assert not conversions.refused
    edits = conversions.converted["model.Tower"].edits
    assert any("nnx.Linear(in_features * 27, 4, rngs=rngs)" in edit.new for edit in edits)


def test_a_function_that_makes_modules_may_not_call_itself_without_end(tmp_path: Path) -> None:
    code = """
        class Model(nn.Module):
            depth: int

            @nn.compact
            def __call__(self, x):
                return self.level(x, self.depth)

            def level(self, x, depth):
                if depth == 0:
                    return x
                return self.level(nn.Dense(4)(x), depth - 1)
    """
    (refusal,) = _convert(tmp_path, code).refused.values()
    assert refusal.reason == "recursive-module"


def test_the_budget_counts_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = nn.Dense(8)(x)
                return nn.Dense(4)(x)
    """
    assert not _convert(tmp_path, code).refused
    monkeypatch.setattr(frame, "BUDGET", 10)
    (refusal,) = _convert(tmp_path, code).refused.values()
    assert (refusal.reason, refusal.detail) == ("budget", "`Model` takes more than 10 steps")
