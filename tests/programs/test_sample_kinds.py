"""What the arrays hold that programs hand to models: integers may index a table, booleans select from it."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.linen.programs.inputs.sample_inputs import SampleInputs
from nnx_migrate.names.project import Project
from nnx_migrate.sources.text import SourceText
from tests.linen_module.fixture import convert

IMPORTS = "import jax\nimport jax.numpy as jnp\nimport numpy as np\n"


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("jnp.ones((2, 3), jnp.int32)", "int"),
        ("jnp.ones((2, 3))", "float"),
        ("np.zeros((2, 3), dtype='uint8')", "int"),
        ("np.zeros((2, 3), bool)", "bool"),
        ("jnp.full((2,), 4, jnp.int32)", "int"),
        ("jnp.full((2,), 4)", None),
        ("np.array([[2, 4], [2, 6]])", "int"),
        ("np.array([True, False])", "bool"),
        ("np.array([1, 2.5])", None),
        ("np.array([[2, 4], [2, 6]], dtype=np.float32)", "float"),
        ("jax.random.randint(key, (2,), 0, 5)", "int"),
        ("jax.random.bernoulli(key, 0.5, (2,))", "bool"),
        ("jax.random.normal(key, (2,), dtype=kind)", None),
        ("jax.ShapeDtypeStruct((2, 3), jnp.int32)", "int"),
        ("batch.astype(int)", "int"),
        ("tokens", "int"),
        ("batch", None),
        ("jnp.arange(4)", None),
    ],
)
def test_kinds_are_those_that_the_code_states(tmp_path: Path, expression: str, kind: str | None) -> None:
    path = tmp_path / "program.py"
    path.write_text(f"{IMPORTS}tokens = jnp.ones((2,), jnp.int32)\nsample = {expression}\n")
    project = Project([path], lambda p: SourceText.decode(p.read_bytes()))
    module = project.module(path)
    assert module is not None
    (*_, statement) = module.tree.body
    assert isinstance(statement, ast.Assign)

    assert SampleInputs(project).kind(module, statement.value) == kind


MODEL = """
    import flax.linen as nn
    import jax
    import jax.numpy as jnp


    class Table(nn.Module):
        size: int

        @nn.compact
        def __call__(self, tokens):
            table = self.param("table", nn.initializers.normal(), (self.size, 4))
            return nn.Dense(3)(table[tokens])
"""


@pytest.mark.parametrize(
    ("program", "converts"),
    [
        ("Table(5).init(jax.random.key(0), jnp.ones((2, 3), jnp.int32))", True),
        ("Table(5).init(jax.random.key(0), jnp.ones((5, 4), bool))", False),
        ("Table(5).init(jax.random.key(0), load())", True),  # as for a vector: both kinds of these pick rows
        (
            "Table(5).init(jax.random.key(0), jnp.ones((5,), bool))\n"
            "Table(6).init(jax.random.key(0), jnp.ones((5,), int))",
            True,  # both pick rows
        ),
    ],
)
def test_a_table_has_the_features_of_its_rows_but_for_truth_values_of_all_its_items(
    tmp_path: Path, program: str, converts: bool
) -> None:
    path = tmp_path / "model.py"
    path.write_text(dedent(MODEL) + "\n\n" + program + "\n")
    _, conversions = convert(path)

    assert (not conversions.refused) is converts


def test_a_class_that_works_for_integers_gets_them_from_other_classes_too(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        dedent(MODEL)
        + dedent("""

        class Masked(nn.Module):
            @nn.compact
            def __call__(self, x):
                return Table(5)(x > 0)


        Table(5).init(jax.random.key(0), jnp.ones((2, 3), jnp.int32))
        """)
    )
    _, conversions = convert(path, bridge=False)

    assert conversions.refused
    assert any(name.endswith("Masked") for name in conversions.refused)
