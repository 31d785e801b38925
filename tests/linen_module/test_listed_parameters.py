"""Parameters that `setup` puts into lists and dicts: where NNX has them, how methods read them, and what stays."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    n: int = 3
    wide: bool = True

    def setup(self):
SETUP

    def __call__(self, x, i=0):
        return CALL
"""
PARAM = 'self.param("w", nn.initializers.ones, (3,))'
COUNTED = 'self.param(f"w_{i}", nn.initializers.ones, (3,))'
FILLED = f"ws = []\nfor i in range(self.n):\n    ws.append({COUNTED})\nself.ws = ws"


def converted(tmp_path: Path, setup: str, call: str = "x * self.ws[0]") -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.replace("SETUP", indent(setup, " " * 8)).replace("CALL", call))
    return convert(path)


HELD = {
    "a display": (f"self.ws = [{PARAM}]", ("ws", "0")),
    "a tuple": (f"self.ws = (jnp.ones(3), {PARAM})", ("ws", "1")),
    "a dict": (f'self.ws = {{"a": {PARAM}}}', ("ws", "a")),
    "a comprehension": (f"self.ws = [{COUNTED} for i in range(self.n)]", ("ws", "{i}")),
    "a loop": (FILLED, ("ws", "{i}")),
}


@pytest.mark.parametrize(("setup", "place"), HELD.values(), ids=HELD)
def test_places(tmp_path: Path, setup: str, place: tuple[str, ...]) -> None:
    key = '"a"' if place[1] == "a" else "0"
    text, found = converted(tmp_path, setup, f"x * self.ws[{key}]")
    assert f"return x * self.ws[{key}][...]" in text
    (entry,) = found.converted["model.Model"].entries.entries
    assert entry.nnx.elements == place


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("x * self.ws[i]", "x * self.ws[i][...]"),
        ("x * self.ws[-1].sum()", "x * self.ws[-1][...].sum()"),
        ("x * len(self.ws)", "x * len(self.ws)"),
        ("x * sum(self.ws)", "x * sum([w[...] for w in self.ws])"),
        ("jnp.stack(self.ws)", "jnp.stack([w[...] for w in self.ws])"),
        ("[x * w for w in self.ws[1:]]", "[x * w for w in [w[...] for w in self.ws[1:]]]"),
        ("jax.tree.map(jnp.sum, self.ws)", "jax.tree.map(jnp.sum, tuple(w[...] for w in self.ws))"),
        ("self.ws", "tuple(w[...] for w in self.ws)"),
    ],
)
def test_reads(tmp_path: Path, call: str, written: str) -> None:
    text, _ = converted(tmp_path, FILLED, call)
    assert f"return {written}" in text


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("sum(self.ws.values())", "sum([value[...] for value in self.ws.values()])"),
        (
            "jax.tree.map(jnp.sum, self.ws)",
            "jax.tree.map(jnp.sum, {key: value[...] for key, value in self.ws.items()})",
        ),
    ],
)
def test_reads_of_dicts(tmp_path: Path, call: str, written: str) -> None:
    text, _ = converted(tmp_path, f'self.ws = {{"a": {PARAM}}}', call)
    assert f"return {written}" in text


LEFT = {
    "variables": 'self.ws = [self.variable("state", "w", jnp.ones, (3,))]',
    "a filter": f"self.ws = [{COUNTED} for i in range(self.n) if i != 1]",
    "two loops": "self.ws = [self.param(f'w_{i}_{k}', nn.initializers.ones, (3,)) for i in range(2) for k in range(2)]",
    "a list in a list": f"self.ws = [[{PARAM}]]",
    "a list in a loop": f"for i in range(1):\n    self.ws = [{COUNTED}]",
    "names that don't count": f"self.ws = [{PARAM} for i in range(self.n)]",
    "a condition in the loop": f"ws = []\nfor i in range(self.n):\n    if i:\n        ws.append({COUNTED})\nself.ws = ws",
    "more than one loop": f"{FILLED}\nfor i in range(4, 6):\n    ws.append({COUNTED})",
    "a list that setup reads": f"{FILLED}\nself.total = len(ws)",
    "a list that begins with something": FILLED.replace("ws = []", "ws = [1]"),
    "an attribute that is given twice": f"if self.wide:\n    self.ws = [{PARAM}]\nelse:\n    self.ws = [jnp.ones(3)]",
    "an attribute that is changed": f'self.ws = {{"a": {PARAM}}}\nself.ws["a"] = jnp.ones(3)',
    "a key that fields give": f"self.ws = {{self.n: {PARAM}}}",
    "a function's result": f"self.ws = list([{PARAM}])",
}


@pytest.mark.parametrize("setup", LEFT.values(), ids=LEFT)
def test_what_stays(tmp_path: Path, setup: str) -> None:
    text, found = converted(tmp_path, setup)
    assert not found.converted
    assert "nnx" not in text
