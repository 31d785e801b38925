"""Arguments that may be None, with something else that stands in for them: which sizes then need not be given."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

ATTENTION = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Attention(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x, context=None):
        context = x if context is None else context
        q, k = nn.Dense(self.dim)(x), nn.Dense(self.dim)(context)
        return nn.softmax(q @ k.swapaxes(-1, -2)) @ k
"""

REFUSED = {
    "the context in some calls of one module only": (
        "sizes-differ",
        """
        class Model(nn.Module):
            def setup(self):
                self.attention = Attention(4)

            def __call__(self, x, y):
                return self.attention(x) + self.attention(x, y)
        """,
    ),
    "handed on as it is, and replaced by something else afterwards": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, context=None):
                y = nn.Dense(3)(x)
                y = Attention(4)(y, context)
                if context is None:
                    context = x
                return y + nn.Dense(4)(context)
        """,
    ),
    "two things that stand in for it": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, context=None):
                first = x if context is None else context
                y = nn.Dense(5)(first)
                second = y if context is None else context
                return nn.Dense(5)(second)
        """,
    ),
    "a stand-in whose size the constructor decides on its way": (
        "unknown-size",
        """
        class Model(nn.Module):
            wide: bool

            @nn.compact
            def __call__(self, x, context=None):
                if self.wide:
                    x = nn.Dense(9)(x)
                context = x if context is None else context
                return nn.Dense(5)(context)
        """,
    ),
    "another argument that is None": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, context=None, other=None):
                context = x if other is None else context
                return nn.Dense(5)(context)
        """,
    ),
    "a context that is changed where it is given": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, context=None):
                context = x if context is None else context[..., :2]
                return nn.Dense(5)(context)
        """,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    reason, code = REFUSED[name]
    path = tmp_path / "model.py"
    path.write_text(ATTENTION + dedent(code))
    conversions = convert(path)[1]
    assert "model.Attention" in conversions.converted
    assert conversions.refused["model.Model"].reason == reason


def test_a_size_that_is_also_needed_here_must_be_given(tmp_path: Path) -> None:
    code = """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, context=None):
                return Attention(4)(x, context) + nn.Dense(4)(context)
    """
    path = tmp_path / "model.py"
    path.write_text(ATTENTION + dedent(code))
    sizes = convert(path)[1].converted["model.Model"].sizes
    assert {size.name: size.optional for size in sizes} == {"context_features": False, "x_features": False}


@pytest.mark.parametrize(
    ("calls", "construction"),
    [
        ("model.init(key, x)", "Functional(Attention, 4, x_features=x.shape[-1])"),
        ("model.init(key, x, None)", "Functional(Attention, 4, x_features=x.shape[-1])"),
        (
            "model.init(key, x, context=y)",
            "Functional(Attention, 4, context_features=y.shape[-1], x_features=x.shape[-1])",
        ),
        ("model.init(key, *inputs)", None),
        ("model.init(key, x, **options)", None),
        ("model.init(key, x); model.init(key, x, y)", None),
    ],
)
def test_programs_give_the_size_where_they_give_the_argument(calls: str, construction: str | None) -> None:
    program = f"""
x, y = jnp.ones((1, 2, 3)), jnp.ones((1, 6, 5))
key = jax.random.key(0)
model = Attention(4)
{calls}
"""
    path = Path("/project/main.py")
    after = fix_files({path: ATTENTION + program}, resolve_rules(["linen-module"]))[0][path]
    if construction is None:
        assert "class Attention(nn.Module)" in after
    else:
        assert construction in after
