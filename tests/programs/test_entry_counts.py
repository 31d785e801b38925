"""Programs that count the entries of parameters: those of lists are counted one by one, as Linen had them."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
LISTED = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(3):
            x = nn.Dense(4)(x)
        return x
"""
SINGLE = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(x)
"""
PROGRAM = """\
import jax
import jax.numpy as jnp
from models import Net
%s

variables = Net().init(jax.random.key(0), jnp.ones((2, 3)))
params, options = variables["params"], {"params": 3}
print(%s)
"""


def fixed(count: str, models: str = LISTED, more: str = "") -> tuple[str, list[str]]:
    """What becomes of the program's last line, and the messages about what stays."""
    program = Path("/project/main.py")
    files = {Path("/project/models.py"): models, program: PROGRAM % (more, count)}
    texts, result = fix_files(files, RULES)
    printed = texts[program].splitlines()[-1]
    return printed.removeprefix("print(")[:-1], [finding.message for finding in result.remaining.findings]


@pytest.mark.parametrize(
    ("count", "after"),
    [
        ("len(variables['params']) == 3", "len(unlisted(variables['params'])) == 3"),
        ("len(params)", "len(unlisted(params))"),
        ("self.assertLen(params, 3)", "self.assertLen(unlisted(params), 3)"),
        ("len(params.keys()) % 3", "len(unlisted(params).keys()) % 3"),
    ],
)
def test_entries_of_lists_are_counted(count: str, after: str) -> None:
    assert fixed(count) == (after, [])


@pytest.mark.parametrize(
    "count",
    [
        "len(params) > 0",
        "self.assertLen(params, 1)",
        "len(variables)",
        "len(options)",
        "len(jax.tree.leaves(params))",
    ],
)
def test_other_counts_stay(count: str) -> None:
    assert fixed(count) == (count, [])


def test_without_lists_as_many_entries_are_there() -> None:
    assert fixed("len(params)", SINGLE) == ("len(params)", [])


def test_where_the_file_has_the_name_itself_modules_of_lists_keep_theirs() -> None:
    own = "\n\ndef unlisted(tree):\n    return tree\n"
    program = Path("/project/main.py")
    files = {Path("/project/models.py"): LISTED, program: PROGRAM % (own, "len(params)")}
    text = fix_files(files, RULES)[0][program]
    assert "print(len(params))" in text
    assert "import ListingFunctional\n" in text
