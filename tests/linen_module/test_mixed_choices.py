"""Layers and classes of the project of which a condition or a function chooses one."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

HEADER = "from functools import partial\n\nimport flax.linen as nn\nimport jax.numpy as jnp\n"
NORM = """

class ScaleNorm(nn.Module):
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, (x.shape[-1],))


class Identity(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x

"""
FUNCTION = """
def norm_of(kind):
    if kind == "scale":
        return partial(ScaleNorm, epsilon=1e-5)
    {more}
    return nn.LayerNorm if kind == "layer" else nn.RMSNorm
"""
MODEL = """import flax.linen as nn

from layers import norm_of


class Model(nn.Module):
    kind: str = "scale"

    @nn.compact
    def __call__(self, x):
        norm = norm_of(self.kind)
        return norm()(x)
"""

REFUSED = {
    "a helper for a layer of Flax": """
        class Cell(nn.Module):
            features: int

            @nn.compact
            def __call__(self, carry, x):
                carry = nn.tanh(nn.Dense(self.features)(jnp.concatenate([carry, x], -1)))
                return carry, carry


        class Model(nn.Module):
            gated: bool = False

            @nn.compact
            def __call__(self, carry, x):
                cell = nn.GRUCell if self.gated else Cell
                return cell(3)(carry, x)
    """,
    "a class that gets its mode from calls": """
        class Noise(nn.Module):
            deterministic: bool | None = None

            @nn.compact
            def __call__(self, x, deterministic: bool | None = None):
                deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
                return nn.Dropout(0.5)(x, deterministic=deterministic)


        class Model(nn.Module):
            noisy: bool = True

            @nn.compact
            def __call__(self, x, train: bool):
                noise = Noise if self.noisy else nn.Dropout
                return noise(deterministic=not train)(x)
    """,
    "what makes modules for a class": """
        class Wrapped(nn.Module):
            norm: type = nn.LayerNorm

            @nn.compact
            def __call__(self, x):
                return self.norm()(x)


        class Model(nn.Module):
            wrapped: bool = True

            @nn.compact
            def __call__(self, x):
                norm = partial(Wrapped, norm=nn.RMSNorm) if self.wrapped else nn.LayerNorm
                return norm()(x)
    """,
    "a choice where it is called": """
        class Model(nn.Module):
            scaled: bool = True

            @nn.compact
            def __call__(self, x):
                return (ScaleNorm if self.scaled else nn.LayerNorm)()(x)
    """,
    "a field that is compared with a class": """
        class Block(nn.Module):
            norm: type = nn.LayerNorm

            @nn.compact
            def __call__(self, x):
                return self.norm()(x + 1 if self.norm is ScaleNorm else x)


        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Block()(Block(ScaleNorm)(x))
    """,
    "a partial that binds what the call gives again": """
        class Block(nn.Module):
            norm: type = nn.LayerNorm

            @nn.compact
            def __call__(self, x):
                return self.norm(epsilon=1e-5)(x)


        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Block()(Block(partial(ScaleNorm, epsilon=1e-3))(x))
    """,
    "a class and a partial of it for a field that gets a layer elsewhere": """
        class Block(nn.Module):
            norm: type = nn.LayerNorm

            @nn.compact
            def __call__(self, x):
                return self.norm()(x)


        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Block()(Block(ScaleNorm)(Block(partial(ScaleNorm, epsilon=1e-3))(x)))
    """,
    "results of different sizes": """
        class Twice(nn.Module):
            features: int

            @nn.compact
            def __call__(self, x):
                return nn.Dense(2 * self.features)(x)


        class Model(nn.Module):
            twice: bool = True

            @nn.compact
            def __call__(self, x):
                dense = Twice if self.twice else nn.Dense
                return nn.Dense(3)(dense(4)(x))
    """,
}


@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_alone(tmp_path: Path, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + NORM + dedent(code))
    text, conversions = convert(path)
    assert "model.Model" in conversions.refused
    assert "class Model(nn.Module):" in text


def fixed(more: str) -> str:
    """A model, and in another file the function that chooses its norm."""
    function = FUNCTION.replace("{more}", more)
    home = Path("/project")
    files = {home / "layers.py": HEADER + NORM + function, home / "model.py": MODEL}
    texts, _ = fix_files(files, resolve_rules(["linen-module"]))
    return texts[home / "model.py"]


def test_layers_are_asked_for_where_the_file_lacks_the_class() -> None:
    expected = """
        self.norm = (
            norm(in_features, rngs=rngs)
            if norm in (nnx.LayerNorm, nnx.RMSNorm)
            else norm(in_features=in_features, rngs=rngs)
        )
"""
    assert expected in fixed("pass")


def test_several_classes_that_the_file_lacks_are_left_alone() -> None:
    assert fixed('if kind == "none":\n        return Identity') == MODEL
