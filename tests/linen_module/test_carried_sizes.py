"""Sizes that loops and conditions change, for modules that the constructor makes elsewhere than these run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple
    others: tuple = ()
    deep: bool = False

"""


def _converted(tmp_path: Path, code: str) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(HEAD + code)
    text, conversions = convert(path)
    return text, [refusal.detail for refusal in conversions.refused.values()]


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        (  # the norms are made in a loop over something else
            """
    def setup(self):
        self.layers = [nn.Dense(width) for width in self.widths]
        self.norms = [nn.LayerNorm() for width in self.others]

    def __call__(self, x):
        for norm, layer in zip(self.norms, self.layers):
            x = layer(norm(x))
        return x
""",
            "`norm` gets a size that a loop elsewhere changes",
        ),
        (  # the other list's variable has the same name, and stands for something else
            """
    def setup(self):
        self.layers = [nn.Dense(width) for width in self.widths]
        self.norms = [nn.LayerNorm() for width in self.others]

    def __call__(self, x):
        for norm, layer in zip(self.norms, self.layers):
            x = norm(layer(x))
        return x
""",
            "`norm` gets a size that the rounds of another list tell",
        ),
        (  # what the loop leaves has no expression
            """
    def setup(self):
        self.out = nn.Dense(3)
        self.layers = [nn.Dense(width) for width in self.widths]

    def __call__(self, x):
        for layer in self.layers:
            x = jnp.concatenate([x, layer(x)], axis=-1)
        return self.out(x)
""",
            "`out` gets a size that a loop elsewhere changes",
        ),
        (  # neither has one what a condition in the loop leaves
            """
    @nn.compact
    def __call__(self, x):
        heads = [nn.Dense(3) for width in self.widths]
        for width in self.widths:
            if self.deep:
                x = nn.Dense(width)(x)
        return sum(head(x) for head in heads)
""",
            "`heads` gets a size that a loop elsewhere changes",
        ),
    ],
)
def test_sizes_that_the_constructor_lacks_are_refused(tmp_path: Path, code: str, detail: str) -> None:
    _, refused = _converted(tmp_path, code)
    assert refused == [detail]


def test_a_layer_that_all_rounds_share_gets_the_size_of_the_first(tmp_path: Path) -> None:
    code = """
    @nn.compact
    def __call__(self, x):
        layers = [nn.Dense(width) for width in self.widths]
        shared = nn.LayerNorm()
        for layer in layers:
            x = layer(shared(x))
        return x
"""
    text, refused = _converted(tmp_path, code)
    assert not refused
    assert "self.shared = nnx.LayerNorm(in_features, rngs=rngs)" in text


def test_lists_that_a_tuple_assigns_are_found_by_nnx(tmp_path: Path) -> None:
    code = """
    def setup(self):
        layers = [nn.Dense(3), nn.Dense(4)]
        self.layers, self.norm = layers, nn.LayerNorm()

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)
"""
    text, refused = _converted(tmp_path, code)
    assert not refused
    assert "self.layers, self.norm = nnx.List(layers), nnx.LayerNorm(4, rngs=rngs)" in text
