"""Lists of arrays that conditions fill: what their sizes add up to, or what all of them share."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax.numpy as jnp
from tables import table


class Model(nn.Module):
    width: int = 4
    depth: int = 2
    wide: bool = False
    other: bool = False

    @nn.compact
    def __call__(self, x, y, train: bool = False, z=None):
"""
JOINED = "return nn.Dense(3)(jnp.concatenate(found, axis=-1))"
ROWS = "return nn.Dense(3)(jnp.concatenate(found, axis=1))"

KNOWN = {
    "one more": (
        f"found = [x]\nif self.wide:\n    found.append(y)\n{JOINED}",
        "if self.wide: x_features = x_features + y_features self.dense = nnx.Linear(x_features, 3, rngs=rngs)",
    ),
    "one more or another": (
        f"found = [x]\nif self.wide:\n    found.append(y)\nelse:\n    found.append(x)\n{JOINED}",
        "if not self.wide: y_features = x_features "
        "self.dense = nnx.Linear(x_features + y_features, 3, rngs=rngs)",
    ),
    "one more where there is an argument": (
        f"found = [x]\nif z is not None:\n    found.append(z)\n{JOINED}",
        "if z_features is not None: x_features = x_features + z_features",
    ),
    "one more in a branch of a branch": (
        f"found = [x]\nif self.wide:\n    found.append(y)\n    if self.other:\n        found.append(y)\n{JOINED}",
        "if self.wide: if self.other: x_features = x_features + y_features * 2 "
        "else: x_features = x_features + y_features self.dense = nnx.Linear(x_features, 3",
    ),
    "more in a loop that may not come": (
        f"found = [x]\nif self.wide:\n    for _ in range(self.depth):\n        found.append(y)\n{JOINED}",
        "if self.wide: x_features = x_features + y_features * self.depth",
    ),
    "rows of the same width": (
        f"found = [jnp.zeros((5, 1, self.width))]\nif self.wide:\n    found.append(y)\n{ROWS}",
        "self.dense = nnx.Linear(self.width, 3, rngs=rngs)",
    ),
}

UNKNOWN = {
    "a condition of the call": f"found = [x]\nif train:\n    found.append(y)\n{JOINED}",
    "a condition on values": f"found = [x]\nif x.sum() > 0:\n    found.append(y)\n{JOINED}",
    "in each round": (
        f"for _ in range(3):\n    found = [x]\n    if self.wide:\n        found.append(y)\n"
        f"    x = nn.Dense(4)(jnp.concatenate(found, axis=-1))\nfound = [x]\n{JOINED}"
    ),
    "one less": f"found = [x, y]\nif self.wide:\n    found.pop()\nfor _ in range(2):\n    found.pop(0)\n{JOINED}",
    "rows of which only one that may be missing is known": (
        "found = [jnp.asarray(table(x))]\nif self.wide:\n    found.append(jnp.zeros((5, 1, self.width)))\n"
        f"{ROWS}"
    ),
}

# One list under two names: what happens to it under the one holds for the other.
SHARED = {
    "appended": "found = [x]\nmore = found\nmore.append(y)",
    "on a condition": "found = [x]\nmore = found\nif self.wide:\n    more.append(y)",
    "bound together": "found = more = [x]\nmore.append(y)",
    "added in place": "found = [x]\nmore = found\nmore += [y]",
    "set": "found = [x]\nmore = found\nmore[0] = y",
    "taken away": "found = [x, y]\nmore = found\nmore.pop()",
    "in a dict": "found = [x]\nmore = {'all': found}\nmore['all'].append(y)",
    "from a dict": "inner = [x]\nmore = {'all': inner}\ninner.append(y)\nfound = more['all']",
}


def _written(tmp_path: Path, body: str) -> str | None:
    path = tmp_path / "model.py"
    path.write_text(MODEL + indent(dedent(body), " " * 8) + "\n")
    text, found = convert(path)
    return " ".join(text.split()) if "model.Model" in found.converted else None


@pytest.mark.parametrize(("body", "size"), KNOWN.values(), ids=KNOWN)
def test_sizes_of_lists_that_conditions_fill(tmp_path: Path, body: str, size: str) -> None:
    assert size in (_written(tmp_path, body) or "")


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_lists_that_differ_otherwise_stay(tmp_path: Path, body: str) -> None:
    assert _written(tmp_path, body) is None


@pytest.mark.parametrize("body", SHARED.values(), ids=SHARED)
def test_lists_that_are_changed_under_another_name_stay(tmp_path: Path, body: str) -> None:
    assert _written(tmp_path, f"{body}\n{JOINED}") is None


def test_a_copy_of_a_list_is_another_list(tmp_path: Path) -> None:
    written = _written(tmp_path, f"found = [x]\nmore = list(found)\nmore.append(y)\n{JOINED}")
    assert "nnx.Linear(in_features, 3, rngs=rngs)" in (written or "")
