"""Functions that create the modules of a class: converted where they do nothing else."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\nimport jax.numpy as jnp\n\n\n"
MODEL = """

class Model(nn.Module):
    n: int

    @nn.compact
    def __call__(self, x, train=False):
        {body}
"""


def converted(tmp_path: Path, functions: str, body: str) -> tuple[str, str]:
    """The new text, and the reason for which the class isn't converted."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(functions).lstrip("\n") + MODEL.format(body=body))
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Model")
    return text, refusal.reason if refusal else ""


WRITTEN = {
    "the layer is called with the arguments that it gets": (
        "def dense(x, n, bias=False):\n    return nn.Dense(n, use_bias=bias)(x)\n",
        "return dense(nn.relu(x), n=self.n)",
        [
            "self.dense = nnx.Linear(in_features, self.n, use_bias=False, rngs=rngs)",
            "self.dense(nnx.relu(x))",
        ],
    ),
    "a function that another one calls": (
        "def dense(n):\n    return nn.Dense(n)\n\n\ndef layer(x, n):\n    return dense(2 * n)(x)\n",
        "return layer(x, self.n)",
        ["self.dense = nnx.Linear(in_features, 2 * self.n, rngs=rngs)", "return self.dense(x)"],
    ),
    "a function that returns what another one creates": (
        "def dense(n):\n    return nn.Dense(n)\n\n\ndef wide(n):\n    return dense(2 * n)\n",
        "return wide(self.n)(x)",
        ["self.dense = nnx.Linear(in_features, 2 * self.n, rngs=rngs)", "return self.dense(x)"],
    ),
    "mode flags at the call": (
        "def norm(x, train):\n    return nn.BatchNorm(use_running_average=not train)(x)\n",
        "return norm(x, train and self.n > 1)",
        ["return self.batch_norm(x, use_running_average=not (train and self.n > 1))"],
    ),
    "one layer for each round of a loop": (
        "def dense(x, n):\n    return nn.Dense(n)(x)\n",
        "for i in range(self.n):\n            x = dense(x, 3 + i)\n        return x",
        ["self.dense_layers.append(nnx.Linear(in_features, 3 + i, rngs=rngs))"],
    ),
    "a variable of the function that is called like an input size": (
        "def dense(x):\n    in_features = 3\n    return nn.Dense(in_features)(x)\n",
        "return dense(x)",
        ["nnx.Linear(input_in_features, in_features, rngs=rngs)"],
    ),
}


@pytest.mark.parametrize(("functions", "body", "parts"), WRITTEN.values(), ids=WRITTEN)
def test_the_constructor_creates_the_layer(
    tmp_path: Path, functions: str, body: str, parts: list[str]
) -> None:
    text, reason = converted(tmp_path, functions, body)
    assert reason == ""
    assert functions in text
    for part in parts:
        assert part in text


LEFT = {
    "a variable that the caller has, too": (
        "name-clash",
        "def dense(x):\n    width = 8\n    return nn.Dense(width)(x)\n",
        "width = 2 + self.n\n        x = dense(x)\n        return nn.Dense(width)(x)",
    ),
    "a layer that is made with a variable that the caller has, too": (
        "name-clash",
        "def dense():\n    width = 8\n    return nn.Dense(width)\n",
        "width = 2 + self.n\n        x = dense()(x)\n        return nn.Dense(width)(x)",
    ),
    "an expression that would be evaluated twice": (
        "unsupported-syntax",
        "def attend(x):\n    return nn.MultiHeadDotProductAttention(2)(x, x)\n",
        "return attend(jnp.sin(x))",
    ),
    "a mode that the function computes": (
        "unsupported-syntax",
        "def norm(x, train):\n    mode = not train\n    return nn.BatchNorm(use_running_average=mode)(x)\n",
        "return norm(x, train)",
    ),
}


@pytest.mark.parametrize(("expected", "functions", "body"), LEFT.values(), ids=LEFT)
def test_functions_that_do_more_keep_their_callers(
    tmp_path: Path, expected: str, functions: str, body: str
) -> None:
    text, reason = converted(tmp_path, functions, body)
    assert reason == expected
    assert "nnx" not in text


SETUPS = {
    "a method that makes a layer of its own numbers": """
        def make(self, n):
            width = 2 * n
            return nn.Dense(width)

        def setup(self):
            self.layer = self.make(3)
            self.other = self.make(4)
    """,
    "a method that sets attributes twice": """
        def build(self, n):
            self.layer = nn.Dense(n)

        def setup(self):
            self.build(4)
            self.build(3)
    """,
    "a function that makes two": """
        def setup(self):
            def pair(n):
                return nn.Dense(n), nn.LayerNorm()

            self.layer, self.norm = pair(3)
    """,
    "a function with a variable of its own": """
        def setup(self):
            def make():
                width = 3
                return nn.Dense(width)

            self.layer = make()
    """,
    "a function that is kept": """
        def setup(self):
            make = lambda n: nn.Dense(n)
            self.layer = make(3)
            self.make = make
    """,
}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_what_else_setup_calls_keeps_the_class(tmp_path: Path, setup: str) -> None:
    path = tmp_path / "model.py"
    call = "\n    def __call__(self, x):\n        return self.layer(x)\n"
    code = (
        f"{HEADER}class Model(nn.Module):{dedent(setup).rstrip().replace(chr(10), chr(10) + '    ')}\n{call}"
    )
    path.write_text(code)
    text, conversions = convert(path)
    assert list(conversions.refused) == ["model.Model"]
    assert text == code
