"""Expressions over several lines, joined to one, and long ones broken."""

from __future__ import annotations

import ast
import re

import pytest

from nnx_migrate.nnx.writer.text import folded, one_line, unwrapped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(\n    a,\n    b=1,\n)", "f(a, b=1)"),
        ("f(\n    a,\n    b=1,)", "f(a, b=1)"),
        ("(\n    3,\n)", "(3,)"),
        ("nn.Conv(8, (\n    3,\n))", "nn.Conv(8, (3,))"),
        ("x[\n    0,\n]", "x[0,]"),
        ("[\n    0,\n]", "[0]"),
        ("f(a)(\n    b,\n)", "f(a)(b)"),
        ("x if y in (\n    1,\n) else z", "x if y in (1,) else z"),
        ('f(\n    "a, )",\n    "( b",\n)', 'f("a, )", "( b")'),
        ("a +\n    b", "a + b"),
        ("{\n    'a': 1,\n}", "{'a': 1}"),
        ("lambda x:\n    x", "lambda x: x"),
    ],
)
def test_joined(text: str, expected: str) -> None:
    assert one_line(text) == expected
    wrapped = [ast.dump(ast.parse(f"({t})", mode="eval")) for t in (text, expected)]
    assert wrapped[0] == wrapped[1]


def test_comments_keep_their_lines() -> None:
    assert one_line("f(\n    a,  # first\n    b,\n)") == "f(\n    a,  # first\n    b,\n)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(x['image']§a-1)", "x['image']§a-1"),
        ("(2 * x['image']§a-1)", "2 * x['image']§a-1"),
        ("(a) + (b)", "(a) + (b)"),
        ("(')')", "')'"),
        ("(a)(b)", "(a)(b)"),
        ("(x for x in y)", "(x for x in y)"),
        ("(a, b)", "(a, b)"),
    ],
)
def test_parentheses_that_nothing_needs(text: str, expected: str) -> None:
    assert unwrapped(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a if flag else b", "a if flag else b"),
        ("size=first_width if self.first else other", "size=first_width\n  if self.first\n  else other"),
        ("(first if flag else second) if chosen else third", "(first if flag else second)\n  if chosen\n  else third"),
        ("first_width if (lambda: flag)() else x§a-1", "first_width\n  if (lambda: flag)()\n  else x§a-1"),
        ("x§a-1 if self.kind == 'a' else (b if c else d)", "x§a-1\n  if self.kind == 'a'\n  else b if c else d"),
        ('lambda x: {"a": (1 if x else 2), "b": f(x, 1)}', 'lambda x: {\n      "a": (1 if x else 2),\n      "b": f(x, 1),\n  }'),
    ],
)  # fmt: skip
def test_long_arguments_are_broken_and_mean_the_same(text: str, expected: str) -> None:
    assert folded(text, "  ", 32) == expected
    plain, broken = (re.sub(r"^size=|§a-", "", part) for part in (text, expected))
    assert ast.dump(ast.parse(f"f({plain})")) == ast.dump(ast.parse(f"f(\n{broken})"))
