"""Submodules that other classes give a class, which makes one of its own where it gets none."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

READER = """
    from typing import Any

    import flax.linen as nn
    import jax


    class Reader(nn.Module):
        width: int
        table: Any = None

        @nn.compact
        def __call__(self, x):
            embed = nn.Embed(5, self.width) if self.table is None else self.table
            return nn.Dense(3)(embed(x))
"""

REFUSED = {
    "nothing in the project makes one": "",
    "modules of other sizes": """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Reader(4, nn.Embed(5, 7))(x) + Reader(4, nn.Embed(5, 8))(x)
    """,
    "a width that the class isn't told": """
        class Model(nn.Module):
            size: int

            @nn.compact
            def __call__(self, x):
                return Reader(4, nn.Embed(5, self.size))(x)
    """,
    "a program gives one, too": """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Reader(4, nn.Embed(5, 4))(x)

        reader = Reader(4, nn.Embed(5, 6))
    """,
    "a function gives something": """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Reader(4, jax.jit(lambda x: x))(x)
    """,
    "arguments that aren't written out": """
        class Model(nn.Module):
            options: dict

            @nn.compact
            def __call__(self, x):
                return Reader(4, **self.options)(x)


        model = Model(options={"table": nn.Embed(5, 7)})
    """,
    "a class that is handed on": """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Reader(4)(x)

        classes = {"reader": Reader}
    """,
}


def converted(tmp_path: Path, code: str) -> tuple[dict[str, str], str]:
    """Reasons by class, and the rewritten file."""
    path = tmp_path / "model.py"
    path.write_text(dedent(READER) + "\n\n" + dedent(code))
    after, conversions = convert(path)
    return {name.rpartition(".")[2]: r.reason for name, r in conversions.refused.items()}, after


@pytest.mark.parametrize("case", REFUSED)
def test_without_knowing_the_modules_nothing_is_converted(tmp_path: Path, case: str) -> None:
    refused, _ = converted(tmp_path, REFUSED[case])

    assert refused["Reader"] in {"unknown-module", "unknown-size", "sizes-differ"}


def test_sizes_are_those_of_the_given_module_in_terms_of_the_class_that_gets_it(tmp_path: Path) -> None:
    refused, after = converted(
        tmp_path,
        """
        class Model(nn.Module):
            size: int

            @nn.compact
            def __call__(self, x):
                return Reader(self.size, table=nn.Embed(5, self.size))(x)
        """,
    )

    assert not refused
    assert "self.dense = nnx.Linear(self.width, 3, rngs=rngs)" in after


def test_a_layer_that_nnx_calls_in_another_way_is_not_given(tmp_path: Path) -> None:
    refused, _ = converted(
        tmp_path,
        """
        class Model(nn.Module):
            drop: bool

            @nn.compact
            def __call__(self, x):
                table = None
                if self.drop:
                    table = nn.Dropout(0.5, deterministic=False)
                return Reader(4, table)(x)
        """,
    )

    assert "Model" in refused
