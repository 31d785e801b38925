"""Modules that programs put into lists and attributes before they hand them to other modules."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules, scanner_for

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp
from typing import List, Optional, Sequence, Tuple


class Part(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)

    def double(self, x):
        return 2 * self(x)


class Chain(nn.Module):
    parts: Sequence[nn.Module]

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Some(nn.Module):
    parts: Sequence[nn.Module]

    def __call__(self, x):
        return self.parts[0](x)


class Doubled(nn.Module):
    parts: List[nn.Module]

    def __call__(self, x):
        for part in self.parts:
            x = part.double(part(x))
        return x


class Sliced(nn.Module):
    parts: Tuple[nn.Module, ...]

    def __call__(self, x):
        for part in self.parts[1:]:
            x = part(x)
        return self.parts[0](x)


class Holder(nn.Module):
    part: nn.Module

    def __call__(self, x):
        return self.part(x)


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")
RULES = resolve_rules(["linen-module"])


def fixed(code: str) -> tuple[str, set[str]]:
    """What `fix` makes of the program, and the messages of all findings."""
    files = {PATH: MODEL + code}
    scan = scanner_for(files, RULES).whole_project(plan=True)
    assert not scan.errors
    return fix_files(files, RULES)[0][PATH], {f.message for f in scan.findings}


@pytest.mark.parametrize(
    "code",
    [
        "Chain([Part(), Part(2)]).init(key, x)\n",
        "Chain(parts=(Part(),) + (Part(2),)).init(key, x)\n",
        "Chain([Part(i) for i in (1, 2)]).init(key, x)\n",
        "parts = []\nfor i in (1, 2):\n    parts.append(Part(i))\nChain(parts).init(key, x)\n",
        "parts = [Part()]\nfor i in (1, 2):\n    part = Part(i)\n    parts += [part]\nChain(parts).init(key, x)\n",
        "def make(i):\n    return Part(i)\nChain([make(i) for i in (1, 2)]).init(key, x)\n",
        "def make():\n    parts = [Part()]\n    parts.extend([Part(2)])\n    return parts\nChain(make()).init(key, x)\n",
        "Chain([Chain([Part()]), Holder(Part())]).init(key, x)\n",
        "Chain([Chain([Part(j) for j in (1, 2)]) for i in (1, 2)]).init(key, x)\n",
        "def make():\n    return Part()\nChain([make(), Holder(make())]).init(key, x)\n",
        "def make(n):\n    return [Holder(Part()) for i in range(n)]\nChain(make(2) + [Chain(make(1))]).init(key, x)\n",
        "part = Part()\nChain([part, *[Part(2)]]).init(key, x)\n",
        "first = [Part()]\nprint(len(first))\nChain(first + [Part(2)]).init(key, x)\n",
    ],
)
def test_lists_that_are_known(code: str) -> None:
    after, _ = fixed(code)
    assert "class Chain(nnx.Module)" in after and "self.parts = nnx.List(parts)" in after
    assert "nn.compact" not in after and after.count("Functional(") >= 2


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("from lib import parts\nChain(parts).init(key, x)\n", "gets a module that isn't known"),
        ("from lib import part\nChain([Part(), part]).init(key, x)\n", "gets a module that isn't known"),
        ("Chain([Part(), nn.Dense(3)]).init(key, x)\n", "gets a module that isn't known"),
        ("part = Part()\nChain([part, part]).init(key, x)\n", "a module gets it more than once"),
        ("part = Part()\nChain([part for i in (1, 2)]).init(key, x)\n", "a module gets it more than once"),
        ("Chain([Part()] * 2).init(key, x)\n", "gets a module that isn't known"),
        (
            "part = Part()\nparts = []\nfor i in (1, 2):\n    parts.append(part)\nChain(parts).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "part = Part()\nChain([Holder(part) for i in (1, 2)]).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "def same(part):\n    return part\npart = Part()\n"
            "Chain([same(part) for i in (1, 2)]).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "from functools import cache\n@cache\ndef make():\n    return Part()\n"
            "Chain([make() for i in (1, 2)]).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "def make():\n    return Part()\npart = make()\nChain([part, Holder(part)]).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "part = Part()\ndef make():\n    return Holder(part)\nChain([make(), make()]).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "def make(part):\n    return Holder(part)\ndef both():\n    part = Part()\n"
            "    return Chain([make(part), make(part)])\nboth().init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "parts = [Part()]\nChain([Chain(parts), Chain(parts)]).init(key, x)\n",
            "a module gets it more than once",
        ),
        (
            "from functools import cache\n@cache\ndef make():\n    return Part()\n"
            "Chain([make(), make()]).init(key, x)\n",
            "a module gets it more than once",
        ),
        ("parts = [Part()]\nChain(parts).init(key, x)\nother = parts\n", "gets a module that isn't known"),
        (
            "from lib import part\ndef make():\n    parts = [Part()]\n    parts.append(part)\n    return parts\n"
            "Chain(make()).init(key, x)\n",
            "gets a module that isn't known",
        ),
        (
            "from lib import part\ndef build(parts):\n    parts.append(part)\n    return Chain(parts)\n"
            "build([Part()]).init(key, x)\n",
            "gets a module that isn't known",
        ),
        ("import lib\nparts = [Part()]\nlib.fill(parts)\nChain(parts).init(key, x)\n", "isn't known"),
        ("Some([Part(), Part(2)]).init(key, x)\n", "a call of it may not use"),
        ("Doubled([Part()]).init(key, x)\n", "the module that gets it calls a method of it"),
        ("Sliced((Part(), Part())).init(key, x)\n", "isn't known"),
    ],
)
def test_lists_that_are_not(code: str, why: str) -> None:
    after, messages = fixed(code)
    assert after.endswith(code)
    assert any(why in message for message in messages)


@pytest.mark.parametrize(
    "code",
    [
        """class Algo:
    def __init__(self, part):
        self.part = part
        self.model = Holder(part=self.part)
Algo(Part(3)).model.init(key, x)
""",
        """class Algo:
    def __init__(self, part=None):
        self.model = Holder(part)
Algo(part=Part(3)).model.init(key, x)
""",
        """class Algo:
    def __init__(self, wide):
        if wide:
            self.part = Part(8)
        else:
            self.part = Part(2)
    def run(self):
        Holder(self.part).init(key, x)
""",
    ],
)
def test_attributes_and_constructors(code: str) -> None:
    after, _ = fixed(code)
    assert "class Holder(nnx.Module)" in after and "Functional(Part" in after


@pytest.mark.parametrize(
    "code",
    [
        """class Algo:
    def __init__(self, part):
        self.part = part
        self.model = Holder(part=self.part)
    def renew(self, other):
        self.part, self.other = other
Algo(Part(3)).model.init(key, x)
""",
        """class Algo:
    part = None
    def __init__(self):
        self.part = Part()
        self.model = Holder(part=self.part)
Algo().model.init(key, x)
""",
        """class Algo:
    def __init__(self, **options):
        self.part = Part()
        for name, value in options.items():
            setattr(self, name, value)
        self.model = Holder(part=self.part)
Algo().model.init(key, x)
""",
        """class Algo:
    def __init__(self, part):
        self.model = Holder(part)
class Other(Algo):
    pass
Algo(Part()).model.init(key, x)
""",
        """import lib
class Algo:
    def __init__(self, part):
        self.model = Holder(part)
lib.run(Algo)
Algo(Part()).model.init(key, x)
""",
    ],
)
def test_attributes_that_others_may_set(code: str) -> None:
    after, _ = fixed(code)
    assert after.endswith(code)


def test_a_list_that_may_be_missing() -> None:
    whole = MODEL.replace("parts: Sequence[nn.Module]\n", "parts: Optional[Sequence[nn.Module]] = None\n", 1)
    whole = whole.replace(
        "        for part in self.parts:\n            x = part(x)\n        return x",
        "        if self.parts is not None:\n            for part in self.parts:\n"
        "                x = part(x)\n        return x",
        1,
    )
    files = {PATH: whole + "Chain([Part()]).init(key, x)\nChain().init(key, x)\n"}
    after = fix_files(files, RULES)[0][PATH]
    assert "self.parts = None if parts is None else nnx.List(parts)" in after
    assert after.endswith("Functional(Chain).init(key, x)\n")


def test_lists_that_are_empty_by_default() -> None:
    rest = (
        "class Rest(nn.Module):\n    parts: Sequence[nn.Module] = ()\n\n    def __call__(self, x):\n"
        "        for part in self.parts:\n            x = part(x)\n        return x\n\n\n"
    )
    program = "variables = Rest().init(key, x)\nmore = Rest([Part()]).init(key, x)\n"
    after, _ = fixed(rest + program)
    assert "parts: Sequence[nnx.Module] = ()):\n        self.parts = nnx.List(parts)\n" in after
    assert "more = Functional(Rest, [Functional(Part)" in after
