"""Structure that the constructor takes over: lists of layers, options in dicts, optional modules, names."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.nnx.module_names import name_parts, padding
from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"

REFUSED = {
    "a layer by a name that the configuration tells": (
        "unknown-module",
        """
        class Model(nn.Module):
            kind: str = "Dense"

            @nn.compact
            def __call__(self, x):
                return getattr(nn, self.kind)(4)(x)
        """,
    ),
    "modules made while looping over modules": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                for layer in [nn.Dense(4), nn.LayerNorm()]:
                    x = nn.Dense(5)(layer(x))
                return x
        """,
    ),
    "layers of one loop and type that NNX calls differently": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            def setup(self):
                self.layers = [nn.BatchNorm(use_running_average=False), nn.BatchNorm(use_running_average=True)]

            def __call__(self, x):
                for layer in self.layers:
                    x = layer(x)
                return x
        """,
    ),
    "a name with hexadecimal digits": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                for i in range(3):
                    x = nn.Dense(4, name=f"layer_{i:x}")(x)
                return x
        """,
    ),
}


def converted(tmp_path: Path, code: str) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    return text, [refusal.reason for refusal in conversions.refused.values()]


@pytest.mark.parametrize(("reason", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_alone(tmp_path: Path, reason: str, code: str) -> None:
    text, reasons = converted(tmp_path, code)
    assert reasons == [reason]
    assert "nn.Module" in text and "nnx" not in text


def test_a_rank_that_the_code_demands_gives_the_sizes_their_names(tmp_path: Path) -> None:
    code = """
    class Positions(nn.Module):
        @nn.compact
        def __call__(self, x):
            if x.ndim != 3:
                raise ValueError("batch, length, features")
            return x + self.param("table", nn.initializers.zeros, (1, x.shape[1], x.shape[2]))
    """
    text, reasons = converted(tmp_path, code)
    assert not reasons
    assert "def __init__(self, *, in_features: int, in_length: int, rngs: nnx.Rngs):" in text


def test_a_rank_that_is_only_one_of_two_decides_nothing(tmp_path: Path) -> None:
    code = """
    class Positions(nn.Module):
        @nn.compact
        def __call__(self, x):
            assert x.ndim == 3 or x.ndim == 4
            return x + self.param("table", nn.initializers.zeros, (1, x.shape[1], x.shape[2]))
    """
    text, reasons = converted(tmp_path, code)
    assert not reasons
    assert "in_length" not in text  # axes counted from the front have no such name


def test_none_that_a_module_may_replace_is_data(tmp_path: Path) -> None:
    code = """
    class Block(nn.Module):
        wide: bool = False

        def setup(self):
            self.down = None
            if self.wide:
                self.down = nn.Dense(4)

        def __call__(self, x):
            return x if self.down is None else self.down(x)
    """
    text, reasons = converted(tmp_path, code)
    assert not reasons
    assert "self.down = nnx.data(None)" in text


NAMES = {
    'f"layer_{i}"': ["layer_", "i"],
    "str(i)": ["i"],
    '"block%d" % (i + 1)': ["block", "i + 1", ""],
    '"stage{:d}_{}".format(i, j)': ["stage", "i", "_", "j"],
    '"layer" + str(i)': ["layer", "i"],
    'f"unit{i + 1:03d}"': ["unit", "i + 1:3"],
    '"%02d_%d" % (i, j)': ["", "i:2", "_", "j", ""],
    '"{:02}".format(i)': ["", "i:2"],
    '"{:>3}".format(i)': None,
    'f"{i:x}"': None,
    '"%2d" % i': None,
    "names[i]": None,
}


@pytest.mark.parametrize(("name", "parts"), NAMES.items(), ids=NAMES)
def test_names_are_taken_apart(name: str, parts: list[str] | None) -> None:
    found = name_parts(ast.parse(name, mode="eval").body)
    assert (None if found is None else [_shown(part) for part in found]) == parts


def _shown(part: str | ast.expr) -> str:
    if isinstance(part, str):
        return part
    number, width = padding(part)
    return ast.unparse(number) + (f":{width}" if width else "")


def test_a_size_whose_default_is_none_may_be_none(tmp_path: Path) -> None:
    code = """
    class Model(nn.Module):
        classes: int = None

        @nn.compact
        def __call__(self, x):
            x = nn.Dense(3)(x)
            head = nn.Dense(self.classes) if self.classes is not None else nn.relu
            return head(x)
    """
    text, reasons = converted(tmp_path, code)
    assert reasons == []
    assert "if self.classes is not None:\n            self.dense_1 = nnx.Linear(3, self.classes" in text
