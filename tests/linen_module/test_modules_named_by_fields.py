"""Modules whose names fields tell: `nn.Dense(3, name=self.layer_name)`, `name=f"dense_{self.num_layers}"`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import Conversions, convert_project
from nnx_migrate.sources.files import load_source
from tests.rules.harness import fix_files, resolve_rules

CODE = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Block(nn.Module):
    first: str = "a"
    second: str = "b"
    number: int = 2
    deep: bool = True

    @nn.compact
    def __call__(self, x):
        BODY
        return x


class Model(nn.Module):
    kind: str = "a"

    @nn.compact
    def __call__(self, x):
        return BLOCK(x)
"""


def code(body: str, block: str = "Block()") -> str:
    return CODE.replace("BODY", body.replace("\n", "\n        ")).replace("BLOCK", block)


def converted(tmp_path: Path, body: str, block: str = "Block()") -> Conversions:
    path = tmp_path / "model.py"
    path.write_text(code(body, block))
    return convert_project(Project([path], load_source))


def entries(found: Conversions) -> set[tuple[str, str]]:
    modules = found.converted["model.Block"].entries.entries
    return {("/".join(entry.linen.elements), "/".join(entry.nnx.elements)) for entry in modules}


NAMED = {
    "a field's text": ("x = nn.Dense(3, name=self.first)(x)", {("a", "a")}),
    "a text before it": ("x = nn.Dense(3, name=f'fc_{self.first}')(x)", {("fc_a", "fc_a")}),
    "a sum, in a loop": (
        "for i in range(2):\n    x = nn.Dense(3, name=self.first + f'_{i}')(x)",
        {("a_{i}", "a_list/{i}")},
    ),
    "a number": ("x = nn.Dense(3, name=f'fc_{self.number}')(x)", {("fc_{*unknown}", "fc")}),
    "the number behind those of a loop": (
        "for i in range(self.number):\n    x = nn.Dense(3, name=f'fc{i}')(x)\n"
        "x = nn.Dense(3, name=f'fc{self.number}')(x)",
        {("fc{i}", "fcs/{i}"), ("fc{*unknown}", "fc")},
    ),
    "two of them": (
        "x = nn.Dense(3, name=f'block{self.number}_in')(x)\nx = nn.Dense(3, name=f'block{self.number}_out')(x)",
        {("block{*unknown}_in", "block_in"), ("block{*unknown}_out", "block_out")},
    ),
}


@pytest.mark.parametrize(("body", "expected"), NAMED.values(), ids=NAMED)
def test_names(tmp_path: Path, body: str, expected: set[tuple[str, str]]) -> None:
    assert entries(converted(tmp_path, body)) == expected


def test_every_name_that_is_given_is_one_of_linens(tmp_path: Path) -> None:
    body = "x = nn.Dense(3, name=self.first + '_fc')(x)\nx = nn.Dense(3, name=self.second + '_fc')(x)"
    found = converted(tmp_path, body, "Block('c', second='d')")
    assert entries(found) == {("a_fc", "a_fc"), ("c_fc", "a_fc"), ("b_fc", "b_fc"), ("d_fc", "b_fc")}


UNTOLD = {
    "a text that nothing shows": ("x = nn.Dense(3, name=self.first)(x)", "Block(self.kind)"),
    "no text, for which Linen counts": ("x = nn.Dense(3, name=self.first)(x)", "Block(None)"),
    "a name that begins so": ("x = nn.Dense(3, name=self.first + '_fc')(x)", "Block(self.kind)"),
    "widths in a loop": ("for n in (3, 4):\n    x = nn.Dense(n, name=f'fc{n + self.number}')(x)", "Block()"),
    "a size": ("x = nn.Dense(3, name=f'fc{x.shape[-1]}')(x)", "Block()"),
}


@pytest.mark.parametrize(("body", "block"), UNTOLD.values(), ids=UNTOLD)
def test_names_that_nothing_shows(tmp_path: Path, body: str, block: str) -> None:
    assert converted(tmp_path, body, block).refused["model.Block"].reason == "unsupported-syntax"


TWO = {
    "texts that change places": ("x = nn.Dense(3, name=self.first)(x)\nx = nn.Dense(3, name=self.second)(x)", "'b', 'a'"),
    "another one's name": ("x = nn.Dense(3, name=self.first)(x)\nx = nn.Dense(3, name='c')(nn.Dense(4, name='d')(x))", "'c'"),
    "one that a loop makes": ("x = nn.Dense(3, name=self.first)(x)\nfor i in range(2):\n    x = nn.Dense(3, name=f'c_{i}')(x)", "'c_4'"),
    "one that Linen makes": ("x = nn.Dense(3, name=self.first)(x)\nx = nn.Dense(3)(x)", "'Dense_0'"),
    "two numbers": ("x = nn.Dense(3, name=f'a{self.number}')(x)\nx = nn.Dense(3, name=f'a{self.number + 1}')(x)", ""),
    "one that is not always there": (
        "x = nn.Dense(3, name=self.first)(x)\nif self.deep:\n    x = nn.Dense(3, name=f'{self.first}')(x)", "'c'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "given"), TWO.values(), ids=TWO)
def test_two_modules_that_may_have_one_name(tmp_path: Path, body: str, given: str) -> None:
    assert converted(tmp_path, body, f"Block({given})").refused["model.Block"].reason == "parameter-names"


PROGRAM = """

model = Model()
variables = model.init(jax.random.key(0), jnp.ones((2, 3)))
kernel = KEY
out = model.apply(variables, jnp.ones((2, 3)))
"""
BODY = "x = nn.Dense(3, name=self.first + '_fc')(x)\nx = nn.Dense(3, name=f'head_{self.number}')(x)"


def fixed(key: str) -> str:
    path = Path("/project/model.py")
    texts, _ = fix_files(
        {path: code(BODY, "Block('c')") + PROGRAM.replace("KEY", key)}, resolve_rules(["linen-module"])
    )
    return texts[path]


def test_programs_read_parameters_by_any_of_the_names() -> None:
    text = fixed('variables["params"]["Block_0"]["c_fc"]')
    assert "nn.Module" not in text
    assert 'variables["params"]["block"]["a_fc"]' in text


@pytest.mark.parametrize(
    "key",
    [
        'variables["params"]["Block_0"]["head_2"]',
        'variables["params"]["Block_0"][model.kind + "_fc"]',
        'variables["params"]["Block_0"][f"{model.kind}_fc"]',
    ],
)
def test_programs_that_make_a_name(key: str) -> None:
    text = fixed(key)
    assert "nnx" not in text
    assert key in text


def test_other_keys_that_programs_make() -> None:
    text = fixed('{}.get("a"), {"train_loss": 1}[f"{model.kind}_loss"]')
    assert "nn.Module" not in text
