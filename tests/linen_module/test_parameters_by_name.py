"""Parameters that modules read by Linen's names: what isn't certain to be there stays."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    depth: int = 2
    wide: bool = True

"""

READS = {
    "by the class's counter": (
        """
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            x = nn.Dense(4, name="last")(nn.Dense(4)(x))
            return x @ self.variables["params"]["Dense_1"]["kernel"]
        """,
        "self.dense_1.kernel[...]",
    ),
    "behind other modules in a loop": (
        """
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            for _ in range(self.depth):
                x = nn.LayerNorm()(x)
            return x @ self.variables["params"]["Dense_0"]["kernel"]
        """,
        "self.dense.kernel[...]",
    ),
    "of a submodule in setup": (
        """
        def setup(self):
            self.embed = nn.Embed(5, 4)

        def __call__(self, ids):
            return self.embed(ids) @ self.embed.variables["params"]["embedding"].T
        """,
        "self.embed.embedding[...].T",
    ),
    "two names of one parameter": (
        """
        @nn.compact
        def __call__(self, x):
            w = self.param("w", nn.initializers.ones, (3,))
            return x * w + self.get_variable("params", "w")
        """,
        "self.w[...]",
    ),
}


def _write(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body).strip("\n"), "    ") + "\n")
    return path


@pytest.mark.parametrize("case", READS)
def test_what_is_read(tmp_path: Path, case: str) -> None:
    body, expected = READS[case]
    text, conversions = convert(_write(tmp_path, body))
    assert "model.Model" in conversions.converted
    assert f" {expected}" in text
    assert "variable" not in text


LEFT = {
    "a module that a loop makes": """
        @nn.compact
        def __call__(self, x):
            for _ in range(self.depth):
                x = nn.Dense(4)(x)
            return x @ self.variables["params"]["Dense_1"]["kernel"]
        """,
    "a counter that a condition moves": """
        @nn.compact
        def __call__(self, x):
            if self.wide:
                x = nn.Dense(4)(x)
            x = nn.Dense(4)(x)
            return x @ self.variables["params"]["Dense_0"]["kernel"]
        """,
    "no parameter of that name": """
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            return x @ self.variables["params"]["Dense_1"]["kernel"]
        """,
    "all of a submodule": """
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            p = self.variables["params"]["Dense_0"]
            return x @ p["kernel"]
        """,
    "all variables": """
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            return x, self.variables
        """,
    "all variables of a submodule": """
        def setup(self):
            self.dense = nn.Dense(4)

        def __call__(self, x):
            return self.dense.clone().apply(self.dense.variables, x)
        """,
    "another collection": """
        @nn.compact
        def __call__(self, x):
            x = nn.BatchNorm(use_running_average=True)(x)
            return x - self.variables["batch_stats"]["BatchNorm_0"]["mean"]
        """,
    "in setup": """
        def setup(self):
            self.dense = nn.Dense(4)
            self.table = self.variables["params"]["dense"]["kernel"]

        def __call__(self, x):
            return self.dense(x) @ self.table
        """,
    "a name that is computed": """
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            return x @ self.variables["params"][f"Dense_{self.depth}"]["kernel"]
        """,
}


@pytest.mark.parametrize("case", LEFT)
def test_what_stays(tmp_path: Path, case: str) -> None:
    path = _write(tmp_path, LEFT[case])
    text, conversions = convert(path)
    assert conversions.refused["model.Model"].reason == "unsupported-api"
    assert text == path.read_text()


DEEP = """\
import flax.linen as nn


class Embedder(nn.Module):
    def setup(self):
        self.embed = nn.Embed(10, 4)

    def __call__(self, x):
        return self.embed(x)


class Encoder(nn.Module):
    def setup(self):
        self.embedder = Embedder()

    def __call__(self, x):
        return self.embedder(x)


class Tied(nn.Module):
    def setup(self):
        self.encoder = Encoder()

    def __call__(self, x):
        h = self.encoder(x)
        READ
"""


@pytest.mark.parametrize(
    "read",
    [
        'return h @ self.encoder.embedder.embed.variables["params"]["embedding"].T',
        'return h @ self.encoder.embedder.variables["params"]["embed"]["embedding"].T',
    ],
)
def test_parameters_of_deeper_submodules(tmp_path: Path, read: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(DEEP.replace("READ", read))
    after, conversions = convert(path)
    assert not conversions.refused
    assert "return h @ self.encoder.embedder.embed.embedding[...].T" in after


@pytest.mark.parametrize(
    "read",
    [
        "return h, self.encoder.embedder.variables",
        'return h @ self.encoder.other.variables["params"]["embedding"]',
        'return h if self.encoder.embedder.embed.has_variable("params", "embedding") else -h',
        "return h, self.encoder.embedder.embed.scope",
    ],
)
def test_what_only_linen_has_below_a_submodule(tmp_path: Path, read: str) -> None:
    """NNX modules have no such attribute: the class stays."""
    path = tmp_path / "model.py"
    path.write_text(DEEP.replace("READ", read))
    after, conversions = convert(path)
    assert {name: refusal.reason for name, refusal in conversions.refused.items()} == {
        "model.Tied": "unsupported-api"
    }
    assert "class Tied(nn.Module)" in after


def test_all_parameters_together_are_nothing_known_to_the_module_around(tmp_path: Path) -> None:
    """The class that reads them stays, and with it what calls it."""
    path = tmp_path / "model.py"
    path.write_text(
        dedent("""\
        import flax.linen as nn
        import jax
        import jax.numpy as jnp


        class Cell(nn.Module):
            width: int

            @nn.compact
            def __call__(self, x):
                self.param("w", nn.initializers.ones, (self.width,))
                return self.step(x)

            def step(self, x):
                params = self.variables["params"]
                return x + sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params))


        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = Cell(4)(x)
                return nn.Dense(3)(x)
        """)
    )
    conversions = convert(path)[1]
    assert conversions.refused["model.Cell"].reason == "unsupported-api"
    assert conversions.refused["model.Model"].reason == "unknown-size"
