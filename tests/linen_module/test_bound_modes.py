"""Modes that partials of the project's own layers bind, and that fields hand on to what makes these layers."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

CODE = """\
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


class Noise(nn.Module):
    rate: float = 0.5
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x, deterministic=None):
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if deterministic:
            return x
        return x + self.rate * jax.random.normal(self.make_rng("noise"), x.shape)


class Block(nn.Module):
    noise: type

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(self.noise()(x))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        noise = partial(Noise, deterministic=not train)
        x = Block(noise)(x)
        return nn.Dense(2)(noise()(x))
"""
OTHER = "\n\nclass Other(nn.Module):\n    frozen: bool = True\n\n    @nn.compact\n    def __call__(self, x):\n        return "


def fixed(code: str) -> str:
    path = Path("/project/models.py")
    return fix_files({path: code}, resolve_rules(["linen-module"]))[0][path]


def test_calls_give_the_mode() -> None:
    text = fixed(CODE)
    assert "noise = partial(Noise)" in text and "(nn.Module)" not in text
    assert "def __call__(self, x, *, deterministic: bool):" in text
    assert "self.noise(x, deterministic=deterministic)" in text
    assert (
        "self.block(x, deterministic=not train)" in text and "self.noise(x, deterministic=not train)" in text
    )


@pytest.mark.parametrize(
    "more",
    [
        "Block(partial(Noise, rate=0.2, deterministic=True))(x)",
        "Block(noise=partial(Noise, deterministic=self.frozen))(x)",
    ],
)
def test_what_others_bind_is_given_by_their_calls(more: str) -> None:
    assert "(nn.Module)" not in fixed(f"{CODE}{OTHER}{more}\n")


def test_fields_bind_modes_for_good() -> None:
    old = "    @nn.compact\n    def __call__(self, x, train: bool):\n"
    text = fixed(
        CODE.replace(old, f"    train: bool\n\n{old}        train = self.train\n").replace(
            ", train: bool", ""
        )
    )
    assert "noise = partial(Noise, deterministic=not train)" in text and "(nn.Module)" not in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # the call gives it again, or nothing does
        ("self.noise()(x)", "self.noise()(x, deterministic=True)"),
        ("self.noise()(x)", "self.noise()(x, True)"),
        ("self.noise()(x)", "self.noise(deterministic=True)(x)"),
        ("return nn.Dense(2)", "x = Block(partial(Noise, rate=0.1))(x)\n        return nn.Dense(2)"),
        ("return nn.Dense(2)", "x = Block(Noise)(x)\n        return nn.Dense(2)"),
        ("return nn.Dense(2)", "x = Block(partial(nn.Dropout, 0.5, deterministic=True))(x)\n        return nn.Dense(2)"),
        # what else reads it
        ("if deterministic", "if deterministic or self.deterministic"),
        ("if deterministic", "if deterministic or self.asked()"),
        ("self.noise()(x)", "self.noise()(x if self.noise.keywords['deterministic'] else 2 * x)"),
        # what it is changes
        ("        x = Block(noise)", "        train = not train\n        x = Block(noise)"),
        ("partial(Noise, deterministic=not train)", "partial(partial(Noise, deterministic=not train), rate=0.1)"),
        # arguments of that name, and calls that can't give it
        ("def __call__(self, x):\n        return nn.Dense(3)", "def __call__(self, x, deterministic=None):\n        return nn.Dense(3)"),
        ("self.noise()(x)", "nn.remat(self.noise)()(x)"),
        ("nn.Dense(2)(noise()(x))", "nn.Dense(2)(nn.remat(Noise)(deterministic=not train)(x))"),
        ("Block(noise)(x)", "nn.remat(Block)(noise)(x)"),
        ("Block(noise)(x)", "nn.Sequential([Block(noise)])(x)"),
    ],
)  # fmt: skip
def test_others_stay(old: str, new: str) -> None:
    assert old in CODE
    code = CODE.replace(old, new)
    if "asked" in new:
        code = code.replace("class Noise(nn.Module):", f"{ASKED}class Noise(Asked):")
    text = fixed(code)
    assert "class Model(nn.Module)" in text and "partial(Noise)" not in text


ASKED = "class Asked(nn.Module):\n    def asked(self):\n        return self.deterministic\n\n\n"


def test_programs_decide_about_no_mode() -> None:
    text = fixed(
        f"{CODE}\n\nvariables = Block(partial(Noise, deterministic=True)).init(KEY, jnp.ones((2, 3)))\n"
    )
    assert "class Model(nn.Module)" in text
