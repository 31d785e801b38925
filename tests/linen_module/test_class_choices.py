"""One of several classes of the project that a condition over fields, or a table, chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.files import load_source

HEADER = """
from typing import Any

import flax.linen as nn


class Basic(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Wide(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2 * self.width, use_bias=False)(x)


class Masked(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, mask=None):
        return nn.Dense(self.width)(x) * (1 if mask is None else nn.Dense(self.width)(mask))


BLOCKS = {"basic": Basic, "wide": Wide}
LAYERS = {"dense": nn.Dense, "conv": nn.Conv}
"""
NET = """

class Net(nn.Module):
    kind: str = "basic"
    deep: bool = False

    @nn.compact
    def __call__(self, x, train: bool = False):
        {body}
        return nn.Dense(3)(x)
"""
HOLDER = """

class Holder(nn.Module):
    block_cls: Any

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(self.block_cls(4)(x))

"""


def converted(tmp_path: Path, text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The new text of each class, on one line, and the reasons of those that aren't converted."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + text)
    found = convert_project(Project([path], load_source))
    texts = {}
    for name, conversion in found.converted.items():
        source = conversion.cls.module.source
        start, end = source.span(conversion.cls.node)
        after = source.with_edits(conversion.edits).text
        texts[name] = " ".join(after[start : end + len(after) - len(source.text)].split())
    return texts, {name: refusal.reason for name, refusal in found.refused.items()}


WRITTEN = {
    "a variable": (
        "block = Wide if self.deep else Basic\n        x = block(4)(x)",
        [
            "block = Wide if self.deep else Basic self.block = block(4, in_features=in_features, rngs=rngs)",
            "self.dense = nnx.Linear(4 if block is Basic else 8, 3, rngs=rngs)",
            "def __call__(self, x, train: bool = False): x = self.block(x) return self.dense(x)",
        ],
    ),
    "branches": (
        "if self.kind == 'basic':\n            block = Basic\n        else:\n            block = Wide\n"
        "        x = block(4)(block(5)(x))",
        ["if self.kind == 'basic': block = Basic else: block = Wide self.block_0 = block(4, in_features="],
    ),
    "branches, and an error": (
        "if self.kind == 'basic':\n            block = Basic\n        elif self.kind == 'wide':\n"
        "            block = Wide\n        else:\n            raise ValueError(self.kind)\n        x = block(4)(x)",
        [
            "elif self.kind == 'wide': block = Wide else: raise ValueError(self.kind) self.block =",
            "def __call__(self, x, train: bool = False): x = self.block(x)",
        ],
    ),
    "an expression": (
        "x = (Wide if self.deep else Basic)(4)(x)",
        [
            "(Wide if self.deep else Basic)(4, in_features=in_features, rngs=rngs)",
            "nnx.Linear(4 if (Wide if self.deep else Basic) is Basic else 8, 3",
        ],
    ),
    "a table": (
        "x = BLOCKS[self.kind](width=4)(x)",
        [
            "= BLOCKS[self.kind](width=4, in_features=in_features, rngs=rngs)",
            "4 if BLOCKS[self.kind] is Basic else 8",
        ],
    ),
    "a table on the spot": (
        "block = {'basic': Basic, 'wide': Wide}[self.kind]\n        for i in range(2):\n            x = block(i + 1)(x)",
        ["block = {'basic': Basic, 'wide': Wide}[self.kind]", "self.blocks.append(block(i + 1, in_features="],
    ),
}


@pytest.mark.parametrize(("body", "parts"), WRITTEN.values(), ids=WRITTEN)
def test_the_constructor_chooses(tmp_path: Path, body: str, parts: list[str]) -> None:
    texts, refused = converted(tmp_path, NET.format(body=body))
    assert "model.Net" not in refused
    for part in parts:
        assert part in texts["model.Net"]


LEFT = {
    "a choice that only a call knows": "block = Wide if train else Basic\n        x = block(4)(x)",
    "a key that only a call knows": "x = BLOCKS['wide' if train else 'basic'](4)(x)",
    "classes that need other sizes": "block = Masked if self.deep else Basic\n        x = block(4)(x, x)",
    "layers": "x = LAYERS[self.kind](4)(x)",
    "a class and a function": "block = Wide if self.deep else (lambda n: nn.relu)\n        x = block(4)(x)",
    "nothing on one path": "block = Wide if self.deep else None\n        x = block(4)(x)",
}


@pytest.mark.parametrize("body", LEFT.values(), ids=LEFT)
def test_other_choices_are_refused(tmp_path: Path, body: str) -> None:
    _, refused = converted(tmp_path, NET.format(body=body))
    assert "model.Net" in refused


@pytest.mark.parametrize(
    "change",
    [
        "BLOCKS['other'] = Masked",
        "BLOCKS.update(other=Masked)",
        "def register(name, cls):\n    BLOCKS[name] = cls",
    ],
)
def test_tables_that_change_are_refused(tmp_path: Path, change: str) -> None:
    text = NET.format(body="x = BLOCKS[self.kind](4)(x)")
    _, refused = converted(tmp_path, f"{text}\n\n{change}\n")
    assert "model.Net" in refused


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (
            "block = Wide if self.deep else Basic\n        x = block(4)(x)\n        block = Basic",
            "        x_features = 4 if block is Basic else 8\n        block = Basic\n",
        ),
        (
            "block = Wide if self.deep else Basic\n        x = block(4)(x)\n        block = Basic if self.kind else Wide",
            "        x_features = 4 if block is Basic else 8\n        block = Basic if self.kind else Wide\n",
        ),
        (
            "if self.deep:\n            block = Wide\n        else:\n            block = Basic\n        x = block(4)(x)\n"
            "        if self.kind:\n            block = Basic",
            "            x_features = 4 if block is Basic else 8\n            block = Basic\n        else:\n"
            "            x_features = 4 if block is Basic else 8\n",
        ),
    ],
)
def test_sizes_that_ask_a_variable_are_computed_before_it_changes(
    tmp_path: Path, body: str, part: str
) -> None:
    texts, refused = converted(tmp_path, NET.format(body=body))
    assert not refused
    assert " ".join(part.split()) in " ".join(texts["model.Net"].split())


def test_what_a_module_returns_is_lost_when_the_variable_of_its_class_changes(tmp_path: Path) -> None:
    body = "block = Wide if self.deep else Basic\n        made = block(4)\n        block = Wide\n        x = made(x)"
    _, refused = converted(tmp_path, NET.format(body=body))
    assert refused["model.Net"] == "unknown-size"


def test_errors_of_what_calls_decide_stay_in_the_call(tmp_path: Path) -> None:
    body = (
        "if self.deep and train:\n            raise ValueError('no')\n        else:\n            x = nn.Dropout(0.1)(x, "
        "deterministic=not train)"
    )
    texts, _ = converted(tmp_path, NET.format(body=body))
    init, _, call = texts["model.Net"].partition("def __call__")
    assert "raise" not in init
    assert "if self.deep and train: raise ValueError('no')" in call


GIVEN = {
    "a table": "def build(kind):\n    return Holder(BLOCKS[kind])\n",
    "a conditional expression": "def build(deep):\n    return Holder(block_cls=Wide if deep else Basic)\n",
    "a variable with several values": "def build(deep):\n    if deep:\n        block = Wide\n    else:\n        block = Basic"
    "\n    return Holder(block)\n",
    "a variable of a class": "class Around(nn.Module):\n    deep: bool = True\n\n    @nn.compact\n    def __call__(self, x):\n"
    "        block = Wide if self.deep else Basic\n        return Holder(block)(x)\n",
}


@pytest.mark.parametrize("use", GIVEN.values(), ids=GIVEN)
def test_fields_get_one_of_several_classes(tmp_path: Path, use: str) -> None:
    texts, refused = converted(tmp_path, HOLDER + use)
    assert not {"model.Holder", "model.Around"} & refused.keys()
    assert "nnx.Linear(4 if block_cls is Basic else 8, 3, rngs=rngs)" in texts["model.Holder"]


@pytest.mark.parametrize(
    "use",
    [
        "BLOCKS['other'] = Masked\n\n\ndef build(kind):\n    return Holder(BLOCKS[kind])\n",
        "BLOCKS.update(other=Masked)\n\n\ndef build(kind):\n    return Holder(BLOCKS[kind])\n",
        "def register(blocks):\n    blocks['x'] = nn.Dense\n\n\nregister(BLOCKS)\n\n\ndef build(kind):\n    return Holder("
        "BLOCKS[kind])\n",
        "def build(block=Basic):\n    if block is None:\n        block = Wide\n    return Holder(block)\n",
        "def build(kind):\n    return Holder(LAYERS[kind])\n",
    ],
    ids=["a new key", "an update", "handed on", "a parameter", "layers"],
)
def test_fields_that_may_get_something_else(tmp_path: Path, use: str) -> None:
    _, refused = converted(tmp_path, HOLDER + use)
    assert "model.Holder" in refused


FUNCTIONS = """

class Scaled(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return x.mean(-1, keepdims=True) * self.param("scale", nn.initializers.ones, (self.width,))


def block_of(kind):
    if kind == "basic":
        return Basic
    if kind == "scaled":
        return Scaled


def any_block_of(kind):
    if kind == "basic":
        return Basic
    return None if kind == "none" else TABLE[kind]


TABLE = {}
"""


def test_a_function_chooses_between_classes_of_other_sizes(tmp_path: Path) -> None:
    body = "block = block_of(self.kind)\n        x = block(4)(x)"
    texts, refused = converted(tmp_path, FUNCTIONS + NET.format(body=body))
    assert not refused
    sizes = '**({"in_features": in_features} if block is Basic else {})'
    assert f"block = block_of(self.kind) self.block = block(4, {sizes}, rngs=rngs)" in texts["model.Net"]


@pytest.mark.parametrize(
    "body",
    [
        "block = block_of(self.kind)\n        if block is not None:\n            x = block(4)(x)",
        "block = block_of(self.kind) or Wide\n        x = block(4)(x)",
        "for block in [block_of(self.kind)]:\n            x = block(4)(x)",
        "x = block_of('basic' if train else 'scaled')(4)(x)",
        "x = any_block_of(self.kind)(4)(x)",
    ],
)
def test_functions_that_may_give_something_else_are_refused(tmp_path: Path, body: str) -> None:
    _, refused = converted(tmp_path, FUNCTIONS + NET.format(body=body))
    assert "model.Net" in refused
