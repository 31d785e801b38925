"""Dicts and lists that setup puts modules and arrays into: what NNX makes of them is what Linen makes, or refused."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from benchmarks.linen_fuzz.grammar.classes import HEADER
from benchmarks.linen_fuzz.judging import judge
from benchmarks.linen_fuzz.program import Model, Program

_ALL = "for layer in self.d.values():\n    x = nn.relu(layer(x))\nreturn x"
_ORDER = "doesn't keep the order of `self.d`"

# id: (expected, body of setup, body of __call__); a refusal is told by a part of its reason
CASES: dict[str, tuple[str, str, str]] = {
    "lists in a list": (
        "equal",
        "self.d = [[nn.Dense(4), nn.Dense(4)], [nn.Dense(4), nn.Dense(4), nn.Dense(4), nn.Dense(4)]]",
        "for row in self.d:\n    for layer in row:\n        x = layer(x)\nreturn x",
    ),
    "pairs that a comprehension makes": (
        "equal",
        "self.d = [(nn.Dense(4), nn.LayerNorm()) for _ in range(2)]",
        "for dense, norm in self.d:\n    x = norm(dense(x))\nreturn x",
    ),
    "a list and a dict in a dict": (
        "equal",
        'self.d = {"a": [nn.Dense(4), nn.Dense(4)], "b": {"x": nn.Dense(3)}}',
        'for layer in self.d["a"]:\n    x = layer(x)\nreturn self.d["b"]["x"](x)',
    ),
    "tuples that a method joins": (
        "equal",
        "self.d = (nn.Dense(4), nn.Dense(4))\nself.last = nn.Dense(4)",
        "for layer in self.d + (self.last,):\n    x = layer(x)\n"
        "for layer in (self.last,) + self.d[1:]:\n    x = layer(x)\nreturn x",
    ),
    "a dict whose keys a comprehension counts": (
        "are not texts",
        "self.d = {k: nn.Dense(4) for k in range(2)}",
        "return self.d[0](x) + self.d[1](x)",
    ),
    "a dict that a comprehension makes": (
        "equal",
        "self.d = {k: nn.Dense(4) for k in self.keys}",
        'return self.d["a"](x) + self.d["z"](x)',
    ),
    "a dict made of a dict": (
        "equal",
        "self.d = {k: nn.Dense(4) for k in self.keys}",
        "return {k: layer(x) for k, layer in self.d.items()}",
    ),
    "a dict in alphabetical order": ("equal", 'self.d = {"a": nn.Dense(4), "b": nn.Dense(4)}', _ALL),
    "a dict in another order": (_ORDER, 'self.d = {"b": nn.Dense(4), "a": nn.Dense(4)}', _ALL),
    "a dict in an order that a field tells": (_ORDER, "self.d = {k: nn.Dense(4) for k in self.keys}", _ALL),
    "a dict handed on": (
        _ORDER,
        'self.d = {"b": nn.Dense(4), "a": nn.Dense(4)}',
        "d = self.d\n" + _ALL.replace("self.", ""),
    ),
    "a dict with the name of a method among its keys": (
        _ORDER,
        'self.d = {"a": nn.Dense(4), "values": nn.Dense(4)}',
        _ALL,
    ),
    "lists and tuples of arrays": (
        "equal",
        "self.d = [jnp.arange(4.0) * i for i in range(3)]\nself.e = jnp.ones(4), nn.relu\nself.f = nn.Dense(4)",
        "for table in self.d:\n    x = x + table\n"
        "scale, act = self.e\nreturn act(self.f(x)) * scale + jnp.stack(self.d).sum(0)",
    ),
    "a dict of arrays and numbers": (
        "equal",
        'self.d = {"z": jnp.arange(4.0), "k": 3}\nself.f = nn.Dense(4)',
        'return self.f(x) * self.d["z"] * self.d["k"]',
    ),
    "a dict of arrays in another order": (
        _ORDER,
        'self.d = {"z": jnp.arange(4.0), "a": jnp.ones(4)}\nself.f = nn.Dense(4)',
        "for table in self.d.values():\n    x = x * 2 + table\nreturn self.f(x)",
    ),
    "a dict with numbers as keys": (
        "the keys of `self.d` are not texts",
        "self.d = {0: nn.Dense(4), 1: nn.Dense(3)}",
        "return self.d[1](self.d[0](x))",
    ),
    "a dict with the numbers of a range as keys": (
        "a dict whose keys are not texts",
        "self.d = {i: nn.Dense(4) for i in range(2)}",
        "return self.d[1](self.d[0](x))",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_computes_the_same_or_is_refused(case: str) -> None:
    expected, setup, call = CASES[case]
    classes = f"{HEADER}\n" + dedent("""
        class Net(nn.Module):
            keys: Sequence[str] = ("z", "a")

            def setup(self):
        SETUP

            def __call__(self, x):
        CALL
        """).replace("SETUP", indent(setup, " " * 8)).replace("CALL", indent(call, " " * 8))
    model = Model("Net()", ("jnp.arange(8.0).reshape(2, 4) - 3",))
    verdict = judge(Program(classes, (model,)))
    if expected == "equal":
        assert verdict.kind == "equal", (verdict.kind, verdict.detail, verdict.reasons, verdict.after)
    else:
        assert verdict.kind == "refused"
        assert any(expected in reason for reason in verdict.reasons), verdict.reasons
