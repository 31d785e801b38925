"""How classes that are used as values are laid out."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


class Net(nn.Module):
    width: int = 4
    depth: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


"""
LATE = 'Functional.maker(Net, lambda x: {"in_features": x.shape[-1]})'
CASES = {
    "short": ("Make = partial(Net, width=2)\n", f"Make = partial({LATE}, width=2)\n"),
    "a line below": (
        "MakeALargeOne = partial(Net, width=200)\n",
        f"MakeALargeOne = partial(\n    {LATE}, width=200\n)\n",
    ),
    "each on its own": (
        "MakeALargeOne = partial(Net, width=200_000, depth=300_000)\n",
        f"MakeALargeOne = partial(\n    {LATE},\n    width=200_000,\n    depth=300_000,\n)\n",
    ),
    "on a line of its own": (
        "Make = partial(\n    Net,\n    width=2,\n)\n",
        f"Make = partial(\n    {LATE},\n    width=2,\n)\n",
    ),
    "beside others on a line": (
        "Make = partial(\n    Net, width=200_000, depth=300_000\n)\n",
        f"Make = partial(\n    {LATE},\n    width=200_000, depth=300_000\n)\n",
    ),
    "a dictionary": (
        'MAKERS = {"net": Net, "other": Net}\nMake = MAKERS["net"]\n',
        f'MAKERS = {{\n    "net": {LATE},\n    "other": {LATE},\n}}\nMake = MAKERS["net"]\n',
    ),
    "in parentheses": (
        "MakeALargeOne = partial((Net), width=200_000_000)\n",
        "MakeALargeOne = partial((Functional.maker(\n"
        '    Net, lambda x: {"in_features": x.shape[-1]}\n'
        ")), width=200_000_000)\n",
    ),
}


@pytest.mark.parametrize(("code", "expected"), CASES.values(), ids=CASES.keys())
def test_layout(code: str, expected: str) -> None:
    path = Path("/project/main.py")
    name = code.partition(" ")[0] if not code.startswith("MAKERS") else "Make"
    text = MODEL + code + f"{name}().init(jax.random.key(0), jnp.ones((1, 3)))\n"
    after = fix_files({path: text}, resolve_rules(["linen-module"]))[0][path]
    assert expected in after


def test_makers_that_are_too_long_for_a_line_of_their_own() -> None:
    inputs = MODEL.replace("(self, x)", "(self, queries, keys_and_values)").replace(
        "nn.Dense(self.width)(x)", "nn.Dense(self.width)(queries) + nn.Dense(self.width)(keys_and_values)"
    )
    path = Path("/project/main.py")
    text = f"{inputs}Make = partial(Net, width=2)\n"
    after = fix_files({path: text}, resolve_rules(["linen-module"]))[0][path]
    assert after.endswith(
        "Make = partial(\n"
        "    Functional.maker(\n"
        "        Net,\n"
        "        lambda keys_and_values, queries: {\n"
        '            "keys_and_values_features": keys_and_values.shape[-1],\n'
        '            "queries_features": queries.shape[-1],\n'
        "        },\n"
        "    ),\n"
        "    width=2,\n"
        ")\n"
    )


ANNOTATED = """\
from dataclasses import dataclass


def backbone():
    return Net(width=3)


@dataclass
class Settings:
    name: backbone
    size: int = 3


def show(model: backbone) -> backbone:
    return model


print(show(backbone()).init_with_output(jax.random.key(0), jnp.ones((1, 2))))
"""


def test_functions_that_only_annotations_name() -> None:
    path = Path("/project/models.py")
    texts, result = fix_files({path: MODEL + ANNOTATED}, resolve_rules(["linen-module"]))
    assert "class Net(nnx.Module)" in texts[path] and not result.remaining.findings
    assert "    name: backbone\n" in texts[path]
    default = ANNOTATED.replace("name: backbone", "name: object = registry[backbone]")
    texts, _ = fix_files({path: MODEL + default}, resolve_rules(["linen-module"]))
    assert "class Net(nnx.Module)" not in texts[path]
