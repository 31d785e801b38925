"""Layers that a class has only where an argument is given: a size that need not be given decides about them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

BLOCK = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, cond=None):
        x = nn.Dense(4)(x)
        return x if cond is None else x + nn.Dense(4)(cond)
"""

REFUSED = {
    "nothing shows that the argument has axes": (
        "dynamic-construction",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, key=None):
                if key is not None:
                    x = nn.Dense(4)(x) * jax.random.normal(key, ())
                return x
        """,
    ),
    "another value stands in for it elsewhere": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, cond=None):
                y = nn.Dense(4)(x if cond is None else cond)
                return y if cond is None else nn.Dense(4)(y)
        """,
    ),
    "the condition asks for more": (
        "dynamic-construction",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, cond=None):
                if cond is not None and cond.ndim == 2:
                    x = x + nn.Dense(3)(cond)
                return x
        """,
    ),
    "a part of an argument": (
        "dynamic-construction",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, batch):
                x = nn.Dense(3)(batch["x"])
                if batch["y"] is not None:
                    x = x + nn.Dense(3)(batch["y"])
                return x
        """,
    ),
    "given in some calls of one module only": (
        "sizes-differ",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, y):
                block = Block()
                return block(x) + block(x, y)
        """,
    ),
    "given to one module in some calls, and perhaps in another": (
        "sizes-differ",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, c=None):
                c = nn.Dense(4)(c) if c is not None else None
                block = Block()
                return block(block(x, x[..., :4]), c)
        """,
    ),
    "keys of attention that may be None": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, c=None):
                c = nn.Dense(4)(c) if c is not None else None
                return nn.MultiHeadDotProductAttention(2)(nn.Dense(6)(x), c)
        """,
    ),
    "the size behind another module depends on whether it is given": (
        "unknown-size",
        """
        class Joined(nn.Module):
            @nn.compact
            def __call__(self, x, cond=None):
                return nn.Dense(4)(x) if cond is None else jnp.concatenate([x, cond], -1)


        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, cond=None):
                return nn.Dense(4)(Joined()(x, cond))
        """,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    reason, code = REFUSED[name]
    path = tmp_path / "model.py"
    path.write_text(BLOCK + dedent(code))
    conversions = convert(path)[1]
    assert "model.Block" in conversions.converted
    assert conversions.refused["model.Model"].reason == reason


def test_layers_without_parameters_are_made_in_any_case(tmp_path: Path) -> None:
    code = """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, cond=None):
                x = nn.Dense(4)(x)
                if cond is None:
                    x = nn.Dropout(0.5)(x, deterministic=True)
                return x
    """
    path = tmp_path / "model.py"
    path.write_text(BLOCK + dedent(code))
    text, conversions = convert(path)
    assert [size.name for size in conversions.converted["model.Model"].sizes] == ["in_features"]
    assert "        self.dropout = nnx.Dropout(0.5, rngs=rngs)\n" in text


@pytest.mark.parametrize(
    ("calls", "construction"),
    [
        ("model.init(key, x)", "Functional(Block, x_features=x.shape[-1])"),
        ("model.init(key, x, y)", "Functional(Block, cond_features=y.shape[-1], x_features=x.shape[-1])"),
        (
            "v = model.init(key, x, jnp.sin(y)); model.apply(v, x, cond=None)",
            'lambda cond: {"cond_features": None if cond is None else cond.shape[-1]}',
        ),
        ("v = model.init(key, x, jnp.sin(y)); model.apply(v, x)", None),
        ("model.init(key, x, y); model.init(key, x)", None),
    ],
)
def test_programs_give_the_size_where_they_give_the_argument(calls: str, construction: str | None) -> None:
    program = f"""
x, y = jnp.ones((2, 3)), jnp.ones((2, 5))
key = jax.random.key(0)
model = Block()
{calls}
"""
    path = Path("/project/main.py")
    after = fix_files({path: BLOCK + program}, resolve_rules(["linen-module"]))[0][path]
    if construction is None:
        assert "class Block(nn.Module)" in after
    else:
        assert construction in after


@pytest.mark.parametrize(
    ("read", "is_optional"),
    [
        ("x + self.cond(c) if c is not None else x", True),
        ("x if c is None else x + self.cond(c)", True),
        ("x + self.cond(c)", False),
        ("x + (self.cond(c) if c is not None else self.cond.features)", False),
    ],
)
def test_layers_of_setup_that_are_only_called_where_an_argument_is_given(
    read: str, is_optional: bool, tmp_path: Path
) -> None:
    code = f"""
        class Model(nn.Module):
            def setup(self):
                self.first = nn.Dense(4)
                self.cond = nn.Dense(4)

            def __call__(self, x, c=None):
                x = self.first(x)
                return {read}
    """
    path = tmp_path / "model.py"
    path.write_text(BLOCK + dedent(code))
    text, conversions = convert(path)
    if "model.Model" in conversions.converted:
        optional = {size.name for size in conversions.converted["model.Model"].sizes if size.optional}
        assert optional == ({"c_features"} if is_optional else set())
        made = "        if c_features is not None:\n            self.cond = nnx.Linear(c_features, 4, rngs=rngs)\n"
        assert (made in text) is is_optional
    else:
        assert not is_optional


def test_a_size_that_must_be_given_keeps_programs_that_leave_the_argument_out(tmp_path: Path) -> None:
    code = """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, c=None):
                return nn.Dense(2)(jnp.concatenate([x, c], -1)) if x.ndim else x
    """
    program = "x = jnp.ones((2, 3))\nModel().init(jax.random.key(0), x)\n"
    path = Path("/project/main.py")
    after = fix_files({path: BLOCK + dedent(code) + program}, resolve_rules(["linen-module"]))[0][path]
    assert "class Model(nn.Module)" in after


def test_calls_of_another_model_in_the_same_variable_say_nothing(tmp_path: Path) -> None:
    code = """
        import flax.linen as nn
        import jax


        class Images(nn.Module):
            @nn.compact
            def __call__(self, images):
                return nn.Dense(4)(images)


        class Texts(nn.Module):
            @nn.compact
            def __call__(self, tokens):
                return nn.Dense(4)(tokens)


        def build(kind):
            return Images() if kind == "images" else Texts()


        def run(kind, batch):
            model = build(kind)
            if kind == "images":
                return model.init(jax.random.key(0), images=batch)
            return model.init(jax.random.key(0), tokens=batch)
        """
    file = tmp_path / "model.py"
    texts, _ = fix_files({file: dedent(code)}, resolve_rules(["linen-module"]))
    assert "class Images(nnx.Module)" in texts[file]
    assert "class Texts(nnx.Module)" in texts[file]
