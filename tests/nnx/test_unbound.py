"""Variables of loops that a constructor reads elsewhere."""

from __future__ import annotations

import ast
from textwrap import dedent, indent

import pytest

from nnx_migrate.nnx.unbound import binds_streams, moved_out_of_loops


def _tree(body: str, arguments: str = "self, widths, *, rngs") -> ast.Module:
    return ast.parse(f"class Model:\n    def __init__({arguments}):\n{indent(dedent(body), ' ' * 8)}")


def _setup(body: str) -> ast.Module:
    return ast.parse(f"class Model:\n    def setup(self):\n{indent(dedent(body), ' ' * 8)}")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("for i in range(3): use(i)", set()),
        ("for i in range(3): use(i)\nuse(i)", {"i"}),
        ("use(i)\nfor i in range(3): pass", {"i"}),
        ("for w in widths: use(w, i)\nfor i in range(2): use(i)", {"i"}),
        ("for i in range(2): use(i)\nfor w in widths: use(w, i)", {"i"}),
        ("for i in range(2):\n    for j in range(i): use(i, j)", set()),
        ("for i, (a, b) in enumerate(widths): use(i, a)\nuse(b)", {"b"}),
        ("use([i for i in widths])\nfor i in widths: use(i)", set()),
        ("use([i for w in widths])\nfor i in widths: use(i)", {"i"}),
        ("i = 0\nfor i in widths: use(i)\nuse(i)", set()),
        ("use(lambda i: i)\nfor i in widths: use(i)", set()),
        ("use(widths)\nfor widths in widths: use(widths)\nuse(widths)", set()),
        ("size = 1\nif size:\n    size = size + 1\nuse(size)", set()),
        ("import os\nuse(os)", set()),
    ],
)
def test_names_that_hold_nothing_or_what_a_loop_has_left(body: str, names: set[str]) -> None:
    loops = "for i, b in widths: use(i, b)"
    assert moved_out_of_loops(_setup(loops), _tree(body)) == names


@pytest.mark.parametrize(
    ("setup", "body", "names"),
    [
        (
            "self.width = 3",
            "for i in range(2): use(i)\nuse(i)",
            set(),
        ),  # as a compact method's own loop leaves it
        ("self.width = 3", "use(i)\nfor i in range(2): use(i)", {"i"}),
        ("self.a = [use(w) for w in widths]", "for w in widths: use(w)\nuse(w)", {"w"}),
        ("for w in widths: use(w)\nuse(w)", "for w in widths: use(w)\nuse(w)", set()),  # as setup itself does
    ],
)
def test_variables_of_the_loops_of_setup(setup: str, body: str, names: set[str]) -> None:
    assert moved_out_of_loops(_setup(setup), _tree(body)) == names


@pytest.mark.parametrize(
    ("body", "arguments", "binds"),
    [
        ("rngs = 3", "self, *, rngs", True),
        ("for rngs in (1, 2): pass", "self, *, rngs", True),
        ("use([rngs for rngs in (1, 2)])", "self, *, rngs", False),
        ("use(rngs)", "self, *, rngs", False),
        ("rngs = 3", "self", False),
    ],
)
def test_variables_with_the_name_of_the_streams(body: str, arguments: str, binds: bool) -> None:
    assert binds_streams(_tree(body, arguments)) is binds
