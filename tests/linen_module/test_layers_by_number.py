"""Loops that take layers of a list by a number that counts the rounds, and sizes that setup carries for others."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from tests.linen_module.fixture import convert

CODE = """\
import flax.linen as nn


class Model(nn.Module):
    depth: int = 2
    widths: tuple = (3, 4)
    others: tuple = (5, 6)

    def setup(self):
        {setup}

    def __call__(self, x):
{body}
        return x
"""
BLOCKS = "self.blocks = [nn.Dense(width) for width in self.widths]"
NUMBERED = "self.numbered = [nn.Dense(self.widths[i]) for i in range(self.depth)]"
COUNTED = [
    "for i in range(len(self.blocks)):\n    x = self.blocks[i](x)",
    "for i in range(len(self.widths)):\n    x = self.blocks[i](x)",
    "for i, width in enumerate(self.widths):\n    x = self.blocks[i](x)",
    "for i, _ in enumerate(self.blocks):\n    x = self.blocks[i](x)",
    "for i in range(self.depth):\n    x = self.numbered[i](x)",
    "blocks = self.blocks\nfor i in range(len(blocks)):\n    x = blocks[i](x)",
]
NOT_COUNTED = [
    "for i in range(self.depth - 1):\n    x = self.numbered[i](x)",  # one layer is left over
    "for i in range(self.depth):\n    x = self.blocks[i](x)",  # nothing says that there are as many
    "for i in range(len(self.others)):\n    x = self.blocks[i](x)",
    "for i in reversed(range(self.depth)):\n    x = self.numbered[i](x)",
    "for i in range(0, self.depth, 2):\n    x = self.numbered[i](x)",
    "for i in range(self.depth):\n    x = self.numbered[i - 1](x)",
    "for i in range(self.depth):\n    i = 0\n    x = self.numbered[i](x)",
    "for i in range(self.depth):\n    x = (lambda i: self.numbered[i](x))(0)",
    "for i in range(self.depth):\n    x = [self.numbered[i](x) for i in (0, 0)][0]",
    "for i, width in enumerate(self.widths, 1):\n    x = self.blocks[i](x)",
    "for i, width in enumerate(self.widths, start=1):\n    x = self.blocks[i](x)",
    "for i in range(self.depth):\n    blocks = self.numbered[1:]\n    x = blocks[i](x)",
]


def _model(tmp_path: Path, body: str) -> tuple[str, dict[str, str]]:
    path = tmp_path / "model.py"
    setup = NUMBERED if "numbered" in body else BLOCKS
    path.write_text(CODE.format(setup=setup, body=indent(body, " " * 8)))
    text, conversions = convert(path)
    return text, {name: refusal.reason for name, refusal in conversions.refused.items()}


@pytest.mark.parametrize("loop", COUNTED)
def test_one_layer_in_each_round(tmp_path: Path, loop: str) -> None:
    text, refused = _model(tmp_path, loop)
    assert refused == {}
    name = "width" if "blocks" in loop else "self.widths[i]"
    assert f"(nnx.Linear(x_features, {name}, rngs=rngs))" in text


@pytest.mark.parametrize("loop", NOT_COUNTED)
def test_other_numbers(tmp_path: Path, loop: str) -> None:
    _, refused = _model(tmp_path, loop)
    assert refused["model.Model"] in ("unknown-size", "unknown-module")


MIXED = """\
import flax.linen as nn


class Model(nn.Module):
    widths: tuple = (3, 4)

    def setup(self):
        self.layers = [{layer} for width in self.widths]

    @nn.compact
    def __call__(self, x, y):
        skip = nn.Dense(5)(x)
        for layer in self.layers:
            x = nn.tanh(layer({argument}))
        return nn.Dense(2)(x), skip, nn.Dense(2)(y)
"""


@pytest.mark.parametrize(
    ("layer", "argument"),
    [
        ("nn.Dense(width)", "x"),  # needs what the loop carries
        ("nn.Dense(width)", "y"),  # does not: only what stands behind the loop does
    ],
)
def test_setup_carries_what_a_compact_method_needs(tmp_path: Path, layer: str, argument: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MIXED.format(layer=layer, argument=argument))
    text, conversions = convert(path)
    constructor = text.partition("def __call__")[0]
    assert conversions.refused == {}
    assert "nnx.Linear(x_features, 5," in constructor  # the input's size, which the loop leaves alone
    assert "nnx.Linear(x_features_2, 2," in constructor
    assert constructor.count("for ") == 1


CLASHES = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple = (3, 4)

    def setup(self):
        {local} = 7
        self.layers = [nn.Dense(width) for width in self.widths]
        self.head = nn.Dense({local})

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)
"""


@pytest.mark.parametrize("local", ["x_features", "in_features", "hidden"])
def test_variables_of_setup_keep_their_values(tmp_path: Path, local: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(CLASHES.format(local=local))
    text, conversions = convert(path)
    assert conversions.refused == {}
    carried = "x_features_2" if local == "x_features" else "x_features"
    assert f"nnx.Linear({carried}, {local}, rngs=rngs)" in text
    assert f"nnx.Linear({carried}, width, rngs=rngs)" in text


def test_a_variable_with_the_name_of_the_streams(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CLASHES.format(local="rngs"))
    _, conversions = convert(path)
    assert conversions.refused["model.Model"].reason == "name-clash"


LEFT_OVER = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple = (3, 4)

    def setup(self):
        self.layers = [nn.Dense(width) for width in self.widths]

    @nn.compact
    def __call__(self, x):
        for {target} in {iterable}:
            x = {layer}(x)
            if {condition}:
                x = jnp.concatenate([x, x], axis=-1)
        for i in range(2):
            x = nn.Dense(self.widths[i])(x)
        return x
"""


@pytest.mark.parametrize(
    ("target", "iterable", "layer", "condition"),
    [
        ("i, layer", "enumerate(self.layers)", "layer", "i < len(self.widths) - 1"),
        ("i", "range(len(self.layers))", "self.layers[i]", "i == 0"),
    ],
)
def test_a_condition_about_rounds_stays_in_its_loop(
    tmp_path: Path, target: str, iterable: str, layer: str, condition: str
) -> None:
    path = tmp_path / "model.py"
    path.write_text(LEFT_OVER.format(target=target, iterable=iterable, layer=layer, condition=condition))
    _, conversions = convert(path)
    assert conversions.refused["model.Model"].reason in ("dynamic-construction", "unknown-size")


WRITTEN_OUT = "self.numbered = [nn.Dense(4), nn.Dense(5), nn.Dense(6)]"


@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        (
            "for i in range(len(self.numbered)):\n    x = self.numbered[i](x)",
            ["in_features, 4", "4, 5", "5, 6"],
        ),
        (
            "for i in range(2):\n    x = self.numbered[i](x)\nx = self.numbered[-1](x)",
            ["in_features, 4", "4, 5", "5, 6"],
        ),
        ("for i in reversed(range(3)):\n    x = self.numbered[i](x)", ["5, 4", "6, 5", "in_features, 6"]),
        (
            "for i, scale in enumerate((1.0, 2.0, 3.0)):\n    x = self.numbered[i](x) * scale",
            ["in_features, 4", "4, 5", "5, 6"],
        ),
    ],
)
def test_layers_that_are_written_out(tmp_path: Path, loop: str, expected: list[str]) -> None:
    text, refused = _written_out(tmp_path, loop)
    assert refused == {}
    assert all(f"nnx.Linear({sizes}, rngs=rngs)" in text for sizes in expected)


@pytest.mark.parametrize(
    "loop",
    [
        "for i in range(self.depth):\n    x = self.numbered[i](x)",  # nothing says how many there are
        "for i in range(2):\n    x = self.numbered[i](x)",  # one is never called
        "for i in range(2):\n    x = self.numbered[i + 1](self.numbered[i](x))",
    ],
)
def test_other_numbers_of_layers_that_are_written_out(tmp_path: Path, loop: str) -> None:
    _, refused = _written_out(tmp_path, loop)
    assert refused["model.Model"] in ("unknown-size", "unknown-module", "sizes-differ")


def _written_out(tmp_path: Path, body: str) -> tuple[str, dict[str, str]]:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(setup=WRITTEN_OUT, body=indent(body, " " * 8)))
    text, conversions = convert(path)
    return text, {name: refusal.reason for name, refusal in conversions.refused.items()}
