"""Modules that programs hand to other modules."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules, scanner_for

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp
from typing import Any, Optional, Sequence


class Part(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)

    def double(self, x):
        return 2 * self(x)


class Whole(nn.Module):
    part: nn.Module
    other: Optional[nn.Module] = None
    loose: Any = None

    def __call__(self, x):
        x = self.part(x)
        if self.other is not None:
            x = self.other(x)
        return x

    def extra(self, x):
        return self.loose(x)

    def twice(self, x):
        return self(self(x))


class Unused(nn.Module):
    part: nn.Module

    def __call__(self, x):
        return x

    def later(self, x):
        return self.part(x)


class Caller(nn.Module):
    part: nn.Module

    def __call__(self, x):
        return self.part.double(x)


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")


def fixed(code: str) -> tuple[str, set[str]]:
    """What `fix` makes of the program, and the messages of all findings."""
    files = {PATH: MODEL + code}
    scan = scanner_for(files, resolve_rules(["linen-module"])).whole_project(plan=True)
    assert not scan.errors
    return fix_files(files, resolve_rules(["linen-module"]))[0][PATH], {f.message for f in scan.findings}


SIZED = 'Functional(Part).sized(lambda x: {"in_features": x.shape[-1]})'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Whole(Part()).init(key, x)\n", f"Functional(Whole, {SIZED}).init(key, x)"),
        ("whole = Whole(Part())\nwhole.init(key, x, method=whole.twice)\n", f"Functional(Whole, {SIZED})"),
        ("part = Part()\nWhole(part=part).init(key, x)\n", f"part = {SIZED}\nFunctional(Whole, part=part)"),
        ("Whole(Part(), None).init(key, x)\n", "Functional(Whole, Functional(Part).sized("),
        ("from config import big\nWhole(Part(), Part() if big else None).init(key, x)\n", "if big else None"),
        (
            "def make():\n    return Part()\ndef build(part):\n    return Whole(part)\nbuild(make()).init(key, x)\n",
            f"return {SIZED}",
        ),
        ("Whole(Whole(Part())).init(key, x)\n", "Functional(Whole, Functional(Whole, Functional(Part)"),
        (
            "part = Part()\nWhole(part).init(key, x)\nCaller(part)\npart.init(key, x)\n",
            "Functional(Caller, part)",
        ),
    ],
)
def test_what_is_converted(code: str, expected: str) -> None:
    after, _ = fixed(code)
    assert expected in after


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("from lib import part\nWhole(part).init(key, x)\n", "gets a module that isn't known"),
        ("Whole(nn.Dense(3)).init(key, x)\n", "gets a module that isn't known"),
        ("Whole(Part(), loose=nn.PReLU()).init(key, x)\n", "gets a module that isn't known"),
        (
            "act = nn.PReLU()\nWhole(Part(), loose=(nn.relu, act)).init(key, x)\n",
            "gets a module that isn't known",
        ),
        ("Whole(Part(), loose=[nn.PReLU(), nn.relu]).init(key, x)\n", "gets a module that isn't known"),
        ("Whole(part=Part(name='mine')).init(key, x)\n", "has a name of its own"),
        ("part = Part()\nWhole(part, part).init(key, x)\n", "a module gets it more than once"),
        ("part = Part()\nWhole(Whole(part), part).init(key, x)\n", "a module gets it more than once"),
        ("Whole(Part(), loose=Part()).init(key, x)\n", "isn't declared to hold one"),
        ("Whole(Part()).init(key, x, method=Whole.extra)\n", "creates only what that method uses"),
        ("Unused(Part()).init(key, x)\n", "a call of it may not use"),
        ("Caller(Part()).init(key, x)\n", "the module that gets it calls a method of it"),
        ("parts = {'part': Part()}\nWhole(**parts).init(key, x)\n", "it is an argument of another module"),
    ],
)
def test_what_is_refused(code: str, why: str) -> None:
    after, messages = fixed(code)
    assert after.endswith(code)
    assert any(why in message for message in messages), messages
