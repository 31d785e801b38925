"""Comments are kept, and new code never ends up inside of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.engine.rule import Rule
from tests.rules.harness import check_files, fix_text

MODEL = """
import jax
import jax.numpy as jnp
from flax import linen as nn


class Net(nn.Module):
    features: int = 8
    classes: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(nn.Dense(self.features)(x))


model = Net({arguments})
variables = model.init(jax.random.key(0), jnp.ones((2, 5)))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "\n    16,  # hidden\n    classes=3,  # cats, dogs, birds\n",
        "  # the defaults\n",
        "\n    16  # hidden\n    , 3  # cats, dogs, birds\n",
        "\n    # hidden\n    (16)  # enough\n",
        "16, 3",
        "\n    16,\n    3,\n",
    ],
)
def test_arguments_are_added_before_comments(arguments: str) -> None:
    fixed = fix_text(MODEL.replace("{arguments}", arguments), "linen-module")
    (construction,) = [
        node.value
        for node in ast.parse(fixed).body
        if isinstance(node, ast.Assign) and "model" in ast.unparse(node.targets[0])
    ]
    assert isinstance(construction, ast.Call)
    assert {keyword.arg for keyword in construction.keywords} >= {"in_features"}
    assert all(line.partition("#")[2] in fixed for line in arguments.splitlines())


class Replacing(Rule):
    """Replaces every use of `jax.host_id` by a given text."""

    id = "replacing"
    group = "jax"
    triggers = frozenset({"jax.host_id"})

    def __init__(self, text: str, behind: str) -> None:
        self.text, self.behind = text, behind

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding with one fix: the call replaced, or the text put behind `behind`."""
        fix = file.fix()
        if self.behind:
            fix.insert(file.source.text.index(self.behind) + len(self.behind), self.text)
        else:
            (use,) = file.uses("jax.host_id")
            call = file.call_of(use.node)
            assert call is not None
            fix.replace(call, self.text)
        yield self.finding(file, file.tree.body[-1], "found", fix.build("fix"))


CODE = "import jax\n\nprint(jax.host_id(  # the host\n), 'a # b')\n"


@pytest.mark.parametrize(
    ("text", "behind", "safety", "reason"),
    [
        ("jax.process_index()", "", Safety.UNSAFE, "comment-lost"),
        ("jax.process_index(  # the host\n)", "", Safety.SAFE, ""),
        (", 1", "# the host", Safety.MANUAL, "comment-in-the-way"),
        (", 1", "# the", Safety.MANUAL, "comment-in-the-way"),
        ("\n", "# the host", Safety.SAFE, ""),
        (", 1", "'a # b'", Safety.SAFE, ""),
    ],
)
def test_fixes_that_lose_or_enter_comments(text: str, behind: str, safety: Safety, reason: str) -> None:
    scan = check_files({Path("a.py"): CODE}, [Replacing(text, behind)])
    (finding,) = scan.findings
    assert (finding.safety, finding.reason, finding.fix is None) == (safety, reason, safety is Safety.MANUAL)
    assert ("# the host" in finding.help) == (safety is Safety.UNSAFE)
