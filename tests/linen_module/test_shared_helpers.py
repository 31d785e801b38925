"""Helpers that make modules and are called several times: each call hands its own modules over."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.numerics.parameter_map import ModuleEntry
from tests.linen_module.fixture import convert

HEADER = """\
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp


"""


def written(tmp_path: Path, code: str) -> tuple[str, dict[str, str]]:
    """The converted file on one line each, and why classes weren't converted."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    return text, {
        r.qualified.partition(".")[2]: f"{r.reason}: {r.detail}" for r in conversions.refused.values()
    }


METHOD = """
class Model(nn.Module):
    width: int = 4

    def block(self, x, n{more}):
        x = nn.Dense(n)(x)
        {body}
        return nn.relu(x)

    @nn.compact
    def __call__(self, x, train=False):
        x = self.block(x, self.width{first})
        return self.block(x, n=2 * self.width{second})
"""
CASES = {
    "constructions alone read it": (
        {},
        "def block(self, dense, x):",
        ["self.block(self.dense_0, x)", "self.block(self.dense_1, x)"],
    ),
    "the code reads it": (
        {"body": "x = x / n"},
        "def block(self, dense, x, n):",
        ["self.block(self.dense_0, x, self.width)", "self.block(self.dense_1, x, n=2 * self.width)"],
    ),
    "one call makes less": (
        {"more": ", extra=False", "body": "x = nn.LayerNorm()(x) if extra else x", "second": ", extra=True"},
        "def block(self, dense, layer_norm, x, extra=False):",
        ["self.block(self.dense_0, None, x)", "self.block(self.dense_1, self.layer_norm, x, extra=True)"],
    ),
    "keywords only, with annotations": (
        {
            "more": ", *, train: bool",
            "body": "x = x * train",
            "first": ", train=train",
            "second": ", train=True",
        },
        "def block(self, dense, x, *, train: bool):",
        ["self.block(self.dense_0, x, train=train)", "self.block(self.dense_1, x, train=True)"],
    ),
    "an argument that does something": (
        {"more": ", m=1", "first": ", jax.device_count()"},
        "def block(self, dense, x, m=1):",
        ["self.block(self.dense_0, x, jax.device_count())", "self.block(self.dense_1, x)"],
    ),
    "the name of a variable that gets another value": (
        {"body": "norm = nn.LayerNorm()\n        norm = norm(x)\n        x = x + norm"},
        "def block(self, dense, norm_layer, x):",
        ["norm = norm_layer\n        norm = norm(x)", "self.block(self.dense_0, self.norm, x)"],
    ),
    "random draws": (
        {
            "more": ", rate",
            "body": "x = nn.Dropout(rate)(x, False)\n        x += jax.random.normal(self.make_rng('noise'))",
            "first": ", train",
            "second": ", rate=0.1",
        },
        "def block(self, dense, x, rate):",
        [
            "x = nnx.Dropout(rate)(x, deterministic=False, rngs=self.dropout_rng)",
            "x += jax.random.normal(self.noise_rng())",
            "self.block(self.dense_0, x, train)",
        ],
    ),
    "a condition on fields": (
        {"body": "if self.width > 3:\n            x = nn.LayerNorm()(x)"},
        "def block(self, dense, layer_norm, x):",
        ["self.block(self.dense_0, self.layer_norm_0, x)", "else:\n            self.layer_norm_1 = None\n"],
    ),
    "other kinds of layers": (
        {"more": ", norm", "body": "x = norm()(x)", "first": ", nn.LayerNorm", "second": ", norm=nn.RMSNorm"},
        "def block(self, dense, layer_norm, x):",
        ["self.block(self.dense_0, self.layer_norm, x)", "self.block(self.dense_1, self.rms_norm, x)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_calls_hand_their_modules_over(tmp_path: Path, case: str) -> None:
    parts, signature, calls = CASES[case]
    filled = {"more": "", "body": "x = x + 1", "first": "", "second": "", **parts}
    text, refused = written(tmp_path, METHOD.format(**filled))
    assert refused == {}
    assert signature in text
    for call in calls:
        assert call in text


def test_functions_in_the_method_in_loops_and_in_each_other(tmp_path: Path) -> None:
    text, refused = written(
        tmp_path,
        """
        class Model(nn.Module):
            depth: int = 2

            @nn.compact
            def __call__(self, x):
                def layer(x, n):
                    x = nn.Dense(n)(x)
                    return nn.LayerNorm()(x)

                def head(x, name):
                    x = layer(x, 7)
                    return nn.Dense(1, name=name)(x)

                for i in range(self.depth):
                    x = layer(x, 8)
                return head(x, "left")
        """,
    )
    assert refused == {}
    assert "def layer(dense, layer_norm, x):" in text
    assert "x = layer(self.dense_layers[i], self.layer_norms[i], x)" in text
    assert "x = layer(self.dense_1, self.layer_norm_1, x)" in text
    assert "return self.left(x)" in text


def test_sizes_that_the_helpers_loops_carry_are_those_of_each_call(tmp_path: Path) -> None:
    text, refused = written(
        tmp_path,
        """
        class Model(nn.Module):
            depth: int = 2

            def stack(self, x, n):
                for _ in range(self.depth):
                    x = nn.relu(nn.Dense(n)(x))
                return x

            @nn.compact
            def __call__(self, x):
                for n in (8, 16):
                    x = self.stack(x, n)
                return self.stack(x, 3)
        """,
    )
    assert refused == {}
    constructor = text.partition("def __init__")[2].partition("def stack")[0]
    before, _, after = constructor.partition("self.dense_layers_1 = ")
    assert "in_features = n" in before and "in_features = 3" not in before
    assert "in_features = 3" in after and "in_features = n" not in after
    assert "def stack(self, dense_layers, x):" in text
    assert "for dense in dense_layers:" in text
    assert "self.stack(dense, x)" in text
    assert "self.stack(self.dense_layers_1, x)" in text


def test_variables_of_loops_are_not_called_like_parameters(tmp_path: Path) -> None:
    text, refused = written(
        tmp_path,
        """
        class Model(nn.Module):
            def head(self, x, sizes):
                for size in sizes:
                    x = nn.Dense(size)(x) / size
                return nn.Dense(3)(x)

            @nn.compact
            def __call__(self, x):
                return self.head(x, (4, 2)) + self.head(x, (5, 2))
        """,
    )
    assert refused == {}
    assert "for size, dense_ in zip(sizes, dense_layers):" in text
    assert "return dense(x)" in text


def test_loops_of_a_helper_that_is_called_once(tmp_path: Path) -> None:
    text, refused = written(
        tmp_path,
        """
        class Model(nn.Module):
            def stem(self, x, depth):
                for i in range(depth):
                    x = nn.Dense(4 + i)(x)
                return x

            @nn.compact
            def __call__(self, x):
                return self.stem(x, 2)
        """,
    )
    assert refused == {}
    assert "def stem(self, x, depth):\n        for dense in self.dense_layers:" in text


def test_other_classes_may_have_helpers_of_the_same_name(tmp_path: Path) -> None:
    plain = METHOD.format(more="", body="pass", first="", second="")
    _, refused = written(tmp_path, plain + "\n\n" + plain.replace("class Model", "class Another"))
    assert refused == {}


KEPT = {
    "used elsewhere": METHOD.format(more="", body="pass", first="", second="")
    + "\n\ndef run(model, x):\n    return model.block(x, 4)\n",
    "named in a text": METHOD.format(more="", body="pass", first="", second="")
    + "\n\nresult = Model().apply({}, 1, method='block')\n",
    "redefined below": METHOD.format(more="", body="pass", first="", second="")
    + "\n\nclass Other(Model):\n    def block(self, x, n):\n        return x\n",
    "arguments behind a star": METHOD.format(more="", body="pass", first="", second=", *()"),
    "parameters of its own": METHOD.format(
        more=", name='a'",
        body="x = x * self.param(name, nn.initializers.ones, ())",
        first="",
        second=", name='b'",
    ),
    "handed over as a value": METHOD.format(more="", body="pass", first="", second="").replace(
        "return self.block(x, n=2", "return jax.checkpoint(self.block)(x, 2"
    ),
    "comments between the parameters": METHOD.format(
        more=",  # the width\n    ", body="pass", first="", second=""
    ),
    "a method that isn't compact, so that the calls share modules": """
    class Model(nn.Module):
        def __call__(self, x):
            return self.net(self.net(x))

        @nn.compact
        def net(self, x):
            return nn.Dense(4)(nn.relu(nn.Dense(4)(x)))
    """,
}


@pytest.mark.parametrize("case", KEPT)
def test_helpers_that_stay(tmp_path: Path, case: str) -> None:
    _, refused = written(tmp_path, KEPT[case])
    assert refused["Model"].partition(":")[0] in ("unsupported-syntax", "unsupported-api", "unknown-call")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("name = f'{kind}_{number}'\n        x = nn.Dense(n, name=name)(x)", ["left_1", "right_2"]),
        (
            "for i in range(2):\n            x = nn.Dense(n, name=f'{kind}{i + number}')(x)",
            ["left{i + 1}", "right{i + 2}"],
        ),
        ("x = nn.Dense(n, name='%s_%02d' % (kind, number))(x)", ["left_01", "right_02"]),
    ],
)
def test_names_with_arguments_of_the_helper_in_them(tmp_path: Path, body: str, names: list[str]) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        HEADER
        + METHOD.format(
            more=", kind, number=1", body=body, first=", kind='left'", second=", kind='right', number=2"
        )
    )
    _, conversions = convert(path)
    assert conversions.refused == {}
    entries = conversions.converted["model.Model"].entries.entries
    found = [entry.linen.elements for entry in entries if isinstance(entry, ModuleEntry)]
    assert [path for path in found if path[0].startswith(("left", "right"))] == [(name,) for name in names]


@pytest.mark.parametrize(
    "body",
    [
        "name = 'a'\n        if n > 3:\n            name = f'b_{n}'\n        x = nn.Dense(n, name=name)(x)",
        "name = f'{x.ndim}'\n        x = nn.Dense(n, name=name)(x)",
    ],
)
def test_names_that_are_not_certain(tmp_path: Path, body: str) -> None:
    _, refused = written(tmp_path, METHOD.format(more="", body=body, first="", second=""))
    assert refused["Model"].startswith("unsupported-syntax")
