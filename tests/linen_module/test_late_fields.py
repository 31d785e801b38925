"""Fields that become arguments of calls, because nothing but the call of another module knows them."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

CODE = """\
import functools

import flax.linen as nn
import jax.numpy as jnp


class Block(nn.Module):
    features: int
    train: bool = False

    @nn.compact
    def __call__(self, x):
        y = nn.Dense(self.features)(x)
        return y if self.train else nn.relu(y)


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        for features in (4, 8):
            x = Block(features, train)(x)
        return nn.Dense(2)(x)
"""
CHILD = """class Child(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x) if self.parent.train else nn.Dense(4)(x)


"""


BY_PARTIAL = CODE.replace(
    "        for features",
    "        block = functools.partial(Block, train=train)\n        for features",
).replace("Block(features, train)", "block(features)")


def fixed(code: str) -> str:
    path = Path("/project/models.py")
    return fix_files({path: code}, resolve_rules(["linen-module"]))[0][path]


def test_the_call_gets_what_the_constructor_got() -> None:
    text = fixed(CODE)
    assert "(nn.Module)" not in text and "self.train" not in text
    assert "def __call__(self, x, train: bool = False):" in text
    assert "x = block(x, train=train)" in text


def test_long_signatures_are_broken() -> None:
    more = ", ".join(f"argument_{number}=None" for number in range(4))
    text = fixed(CODE.replace("self, x):", f"self, x, {more}):"))
    assert f"    def __call__(\n        self, x, {more}, train: bool = False\n    ):\n" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("train)(x)", "train=not train)(x)"),
        ("train)(x)", "train)(\n                x,\n            )"),
        ("train)(x)", "train=train if features > 4 else False)(x)"),
        ("self, x):", "self, x, scale=1, *, shift=0):"),
        ("self, x):", "self,\n        x,\n    ):"),
        ("train: bool = False", "train: bool"),
        ("train: bool = False", "train: 'bool' = False\n    width: int = 3"),
        ("features: int\n    train: bool = False\n", "train: bool\n    features: int = 3\n"),
        ("y if self", "y if (lambda: self.train)() and self"),
    ],
)
def test_ways_to_write_it(old: str, new: str) -> None:
    code = CODE.replace(old, new)
    if new.startswith("train: bool\n    features"):
        code = code.replace("Block(features, train)", "Block(train, features)")
    assert old in CODE
    is_text = "'bool'" in new  # what a text says isn't asked
    assert ("(nn.Module)" in fixed(code)) is is_text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # the constructor reads the field, too
        ("nn.Dense(self.features)(x)", "nn.Dense(self.features + self.train)(x)"),
        (
            "    @nn.compact\n    def __call__(self, x):",
            "    def setup(self):\n        self.on = self.train\n\n    @nn.compact\n    def __call__(self, x):",
        ),
        # or something else does
        ("y if self.train", "y if getattr(self, 'train')"),
        (
            "class Block(nn.Module):",
            "class Block(nn.Module):\n    def asked(self):\n        return self.train\n",
        ),
        ("nn.Dense(self.features)(x)", "Child()(x)"),
        ("y if self.train", "y if vars(self)['features'] and self.train"),
        ("y if self.train", "y if self.clone(train=True) and self.train"),
        # another value of that name, or none that an argument could be
        ("def __call__(self, x):", "def __call__(self, x, train=None):"),
        ("        y = nn", "        train = x.mean()\n        y = nn"),
        ("train: bool = False", "train: list = ()"),
        ("train: bool = False", "train: bool = bool(0)"),
        ("def __call__(self, x):", "def __call__(self, x, **options):"),
        ("@nn.compact\n    def __call__(self, x):", "@nn.remat\n    @nn.compact\n    def __call__(self, x):"),
        # modules that aren't called where they are made
        ("Block(features, train)(x)", "nn.remat(Block)(features, train)(x)"),
        ("x = Block(features, train)(x)", "block = Block(features, train)\n            x = block(x)"),
        ("Block(features, train)(x)", "Block(features, train).__call__(x)"),
        ("Block(features, train)(x)", "Block(*(features, train))(x)"),
        ("Block(features, train)(x)", "Block(features, train)(*[x])"),
        ("Block(features, train)(x)", "Block(features, bool(train))(x)"),
        ("        for", "        print(Block)\n        for"),
        ("\n\nclass Model", "\n\nclass Other(Block):\n    pass\n\n\nclass Model"),
        ("return nn.Dense(2)(x)\n", "return nn.Dense(2)(x)\n\n\nBLOCK = Block(3)\n"),
    ],
)
def test_others_stay(old: str, new: str) -> None:
    assert old in CODE
    code = CODE.replace(old, new).replace("class Block", CHILD + "class Block", 1) if "Child" in new else CODE
    text = fixed(code.replace(old, new))
    assert "class Model(nn.Module)" in text and "    train:" in text.partition("class Model")[0]


def test_calls_of_partials_get_what_these_bind() -> None:
    text = fixed(BY_PARTIAL)
    assert "(nn.Module)" not in text and "(x, train=train)" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("train=train)", "4, train=train)"),
        ("train=train)", "train=not train)"),
        ("        block = ", "        train = not train\n        block = "),
        ("block(features)(x)", "block(\n                features=features\n            )(x)"),
    ],
)
def test_ways_to_write_partials(old: str, new: str) -> None:
    code = BY_PARTIAL.replace(old, new)
    assert "(nn.Module)" not in fixed(code.replace("block(features)", "block()") if "4," in new else code)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # what it binds changes behind it
        ("        for", "        train = not train\n        for"),
        ("            x = block", "            train = features > 4\n            x = block"),
        ("for features in", "for train, features in enumerate"),
        ("(x)\n        return", "(x)\n            train += 1\n        return"),
        ("train=train)", "train=bool(train))"),
        ("train=train)", "train=x[0])"),
        # other uses of the partial, or others that have its name
        ("        for", "        print(block)\n        for"),
        ("        for", "        block = block\n        for"),
        ("block(features)(x)", "functools.partial(block, features)()(x)"),
        ("block(features)(x)", "(lambda: block(features)(x))()"),
        ("block(features)(x)", "block(features, train=True)(x)"),
        ("x = block(features)(x)", "made = block(features)\n            x = made(x)"),
        ("        block = functools.partial(Block, train=train)\n", "        block = functools.partial(Block, train=train) if True else None\n"),
        ("train=train)", "**{'train': train})"),
        ("train=train)", "train=train,  # the mode\n        )"),
        # it is made anew in a loop, or elsewhere
        ("        block = functools.partial(Block, train=train)\n        for features in (4, 8):\n", "        for features in (4, 8):\n            block = functools.partial(Block, train=train)\n"),
        ("class Model", "small = functools.partial(Block, 3, train=True)\n\n\nclass Model"),
    ],
)  # fmt: skip
def test_other_partials_stay(old: str, new: str) -> None:
    assert old in BY_PARTIAL
    text = fixed(BY_PARTIAL.replace(old, new))
    assert "class Model(nn.Module)" in text and "    train:" in text.partition("class Model")[0]
