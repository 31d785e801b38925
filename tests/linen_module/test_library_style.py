"""Modules in the style of large libraries: attention to other states, layers for states that are given."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

HEAD = """
import flax.linen as nn
import jax.numpy as jnp
"""


def _converted(tmp_path: Path, text: str) -> str:
    path = tmp_path / "model.py"
    path.write_text(HEAD + dedent(text))
    written, conversions = convert(path)
    assert not conversions.refused, conversions.refused
    return written


def _refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "model.py"
    path.write_text(HEAD + dedent(text))
    return convert(path)[1].refused["model.Model"].reason


ATTENTION = """
    class Attention(nn.Module):
        def setup(self):
            self.key = nn.Dense(4)

        def __call__(self, x, states=None):
            return self.key(x) if states is None else self.key(states)
    """


def test_states_of_no_given_size_are_the_inputs(tmp_path: Path) -> None:
    text = _converted(tmp_path, ATTENTION)
    assert "states_features: int | None = None" in text
    assert "if states_features is None:\n            states_features = x_features" in text


@pytest.mark.parametrize(
    "call",
    [
        "self.key(x) if flag else self.key(states)",
        "self.key(x) if states is None or flag else self.key(states)",
    ],
)
def test_sizes_that_something_else_tells_apart_are_refused(tmp_path: Path, call: str) -> None:
    text = ATTENTION.replace("Attention", "Model").replace("states=None", "states=None, flag=False")
    old = "self.key(x) if states is None else self.key(states)"
    assert old in text
    assert _refused(tmp_path, text.replace(old, call)) == "sizes-differ"


def test_a_parameter_that_a_loop_changes_is_still_read_behind_it(tmp_path: Path) -> None:
    text = """
    class Block(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            return jnp.concatenate([x, nn.Dense(self.width)(x)], axis=-1)


    class Model(nn.Module):
        width: int

        def setup(self):
            self.blocks = [Block(self.width) for _ in range(2)]
            self.last = nn.Dense(2)
            self.other = nn.Dense(2)

        def __call__(self, x, y):
            start = x
            for block in self.blocks:
                x = block(x)
            return self.other(y), self.last(start)
    """
    written = _converted(tmp_path, text)
    assert "self.last = nnx.Linear(x_features, 2, rngs=rngs)" in written
    assert "x_features_2 = x_features_2 + self.width" in written
    kept = _converted(tmp_path, text.replace("self.last(start)", "self.last(x)"))
    assert "x_features_2" not in kept and "x_features = x_features\n" not in kept


def test_a_layer_for_an_argument_is_made_only_with_it_below_a_condition_of_setup(tmp_path: Path) -> None:
    text = """
    class Model(nn.Module):
        crosses: bool = False

        def setup(self):
            self.main = nn.Dense(4)
            if self.crosses:
                self.cross = nn.Dense(4)

        def __call__(self, x, states=None):
            x = self.main(x)
            if states is not None:
                x = x + self.cross(states)
            return x
    """
    written = _converted(tmp_path, text)
    assert (
        "if self.crosses:\n            if states_features is not None:\n                self.cross ="
        in written
    )


def test_a_norm_behind_such_a_layer_is_made_only_with_the_argument_too(tmp_path: Path) -> None:
    text = """
    class Model(nn.Module):
        def setup(self):
            self.main = nn.Dense(4)
            self.cross = nn.Dense(4)
            self.norm = nn.RMSNorm()

        def __call__(self, x, states=None):
            x = self.main(x)
            if states is not None:
                x = self.norm(x + self.cross(states))
            return x
    """
    written = _converted(tmp_path, text)
    assert written.count("        if states_features is not None:\n") == 2
    assert "if states_features is not None:\n            self.norm = nnx.RMSNorm(4" in written


TIED = """
    class Model(nn.Module):
        tied: bool = True

        def setup(self):
            self.embed = nn.Embed(5, 4)
            self.head = nn.Dense(5, use_bias=False)

        def __call__(self, tokens, kernel=None):
            x = self.embed(tokens)
            if self.tied:
                kernel = self.embed.variables["params"]["embedding"].T
                return self.head.apply({"params": {"kernel": kernel}}, x)
            return self.head(x)
    """


def test_a_layer_that_gets_an_embedding_s_kernel_is_made_in_other_configurations(tmp_path: Path) -> None:
    branches = TIED.replace(
        "            return self.head(x)", "            else:\n                return self.head(x)"
    )
    text = _converted(tmp_path, branches)
    assert "        if not self.tied:\n            self.head = nnx.Linear(" in text
    assert "return linear_with_kernel(x, kernel)" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if self.tied:", "if kernel is not None:"),  # an argument decides which parameters there are
        (", use_bias=False", ""),
        ('"kernel": kernel', '"kernel": kernel, "bias": kernel[0]'),
        ("nn.Dense(5, use_bias=False)", "nn.Dense(5, use_bias=False, dot_general=jnp.dot)"),
        ("            return self.head(x)", "            return x"),
    ],
)
def test_other_layers_with_given_parameters_are_refused(tmp_path: Path, old: str, new: str) -> None:
    branches = TIED.replace(
        "            return self.head(x)", "            else:\n                return self.head(x)"
    )
    assert _refused(tmp_path, (branches if "return x" not in new else TIED).replace(old, new)) in (
        "unsupported-layer",
        "unknown-call",
    )
