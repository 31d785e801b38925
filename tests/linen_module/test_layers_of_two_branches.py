"""Layers that two branches make in the rounds of a loop."""

import re

import pytest

from tests.rules.harness import fix_text

DROPOUT = """\
import flax.linen as nn


class Net(nn.Module):
    depth: int = 3

    @nn.compact
    def __call__(self, x, train: bool):
        for i in range(self.depth):
            if train:
                x = nn.Dropout(0.1, deterministic=False)(x)
            else:
                x = nn.Dropout(0.5, deterministic=True)(x)
        return x
"""


def test_layers_without_parameters_exist_whatever_a_call_decides() -> None:
    text = fix_text(DROPOUT, "linen-module")
    assert "append(None)" not in text
    assert "self.dropouts.append(nnx.Dropout(0.1" in text
    assert "self.dropouts_1.append(nnx.Dropout(0.5" in text


BRANCHES = """\
import flax.linen as nn


class Net(nn.Module):
    wide: bool = False
    deep: bool = False

    @nn.compact
    def __call__(self, x):
        if self.wide:
            {}
        else:
            {}
        return nn.LayerNorm()(x)
"""


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("x = nn.Dense(4)(x)", "x = nn.Dense(5)(x)", ["dense", "dense"]),
        (
            "x = nn.Dense(8)(nn.Dense(4)(x))",
            "x = nn.Dense(5)(x)",
            ["dense_0", "dense_1", "dense_0"],
        ),
        ("x = nn.Dense(4)(x)", "x = nn.DenseGeneral(5)(x)", ["dense", "dense_general"]),
        ("x = nn.Dense(4)(x)", 'x = nn.Dense(5, name="other")(x)', ["dense", "other"]),
        ("x = nn.Dense(4) (x)", "x = nn.Dense(5)(nn.Dense(5)(x) if self.deep else x)", None),
    ],
)
def test_layers_of_one_name(first: str, second: str, names: list[str] | None) -> None:
    """Layers that Linen counts alike share an attribute, unless something else decides about such layers, too."""
    text = fix_text(BRANCHES.format(first, second), "linen-module")
    found = re.findall(r"self\.(\w+) = nnx\.Linear", text)
    if names is None:
        assert len(set(found)) == len(found) == 3
    else:
        assert sorted(set(found)) == sorted(set(names))
