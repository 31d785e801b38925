"""Branches that differ in how a module is made alone: its methods say once what they do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn
import jax


class Net(nn.Module):
    orthogonal: bool = False
    depth: int = 2

    @nn.compact
    def __call__(self, x, train=False):
        for _ in range(self.depth):
            if self.orthogonal:
                x = nn.Dense(4, kernel_init=nn.initializers.orthogonal())(x)
            else:
                x = nn.Dense(4)(x)
            x = nn.relu(x)
        return x
"""


def converted(code: str, tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(code)
    text, conversions = convert(path)
    assert not conversions.refused
    return text.partition("def __call__")[2]


def test_one_statement_is_left(tmp_path: Path) -> None:
    body = converted(CODE, tmp_path)
    assert "if self.orthogonal" not in body
    assert "            x = dense(x)\n            x = nnx.relu(x)\n" in body


def test_the_end_of_a_chain(tmp_path: Path) -> None:
    first = "if self.depth > 5:\n            x = x * 2\n        elif self.orthogonal:"
    code = CODE.replace("        for _ in range(self.depth):\n", "").replace("\n            ", "\n        ")
    body = converted(code.replace("if self.orthogonal:", first), tmp_path)
    assert "elif" not in body
    assert (
        "        if self.depth > 5:\n            x = x * 2\n        else:\n            x = self.dense(x)"
        in body
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if self.orthogonal:", "if jax.process_index() == 0:"),  # what else it does isn't known
        ("            else:", "            else:  # the usual one"),  # a remark would get lost
        ("nn.Dense(4)(x)\n", "nn.Dense(4)(x) * 2\n"),
    ],
)
def test_what_stays(old: str, new: str, tmp_path: Path) -> None:
    assert old in CODE
    body = converted(CODE.replace(old, new), tmp_path)
    assert body.count("x = dense(x)") == 2
    assert "if " in body and "else:" in body


def test_what_a_person_wrote_twice_stays(tmp_path: Path) -> None:
    twice = "            if train:\n                x = x + 1\n            else:\n                x = x + 1\n"
    body = converted(CODE.replace("            x = nn.relu(x)\n", twice), tmp_path)
    assert twice in body
