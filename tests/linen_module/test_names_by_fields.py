"""Variables whose names fields tell: `self.param(self.weight_name, ...)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import Conversions, convert_project
from nnx_migrate.sources.files import load_source
from tests.rules.harness import fix_files, resolve_rules

CODE = """
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


class Scale(nn.Module):
    weight_name: str = "w"

    @nn.compact
    def __call__(self, x):
        return x * self.param(NAME, nn.initializers.ones, (3,))


class Model(nn.Module):
    kind: str = "a"

    @nn.compact
    def __call__(self, x):
        return SCALES
"""


def converted(tmp_path: Path, scales: str, name: str = "self.weight_name", more: str = "") -> Conversions:
    path = tmp_path / "model.py"
    path.write_text(CODE.replace("SCALES", scales).replace("NAME", name) + more)
    return convert_project(Project([path], load_source))


def entries(found: Conversions) -> list[tuple[str, str]]:
    leaves = found.converted["model.Scale"].entries.entries
    return [("/".join(leaf.linen[0].elements), "/".join(leaf.nnx.elements)) for leaf in leaves]


def test_every_name_that_is_given_is_one_of_linens(tmp_path: Path) -> None:
    found = converted(tmp_path, "Scale(weight_name='gate')(Scale('out')(Scale()(x)))")
    assert sorted(entries(found)) == [("params/gate", "w"), ("params/out", "w"), ("params/w", "w")]


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("self.weight_name", "w"),
        ("f'{self.weight_name}_scale'", "w_scale"),
        ("'scale_' + self.weight_name", "scale_w"),
    ],
)
def test_the_attribute_has_the_name_by_default(tmp_path: Path, name: str, attribute: str) -> None:
    found = converted(tmp_path, "Scale('b')(x)", name)
    assert {nnx for _, nnx in entries(found)} == {attribute}


@pytest.mark.parametrize(
    "scales",
    [
        "Scale(self.kind)(x)",
        "Scale(**{'weight_name': 'b'})(x)",
        "Scale(*['b'])(x)",
        "partial(Scale, weight_name='b')()(x)",
        "Scale(weight_name=None)(x)",
    ],
)
def test_names_that_nothing_shows(tmp_path: Path, scales: str) -> None:
    found = converted(tmp_path, scales)
    assert found.refused["model.Scale"].reason == "unsupported-api"


def test_names_that_a_subclass_has(tmp_path: Path) -> None:
    more = "\n\nclass Other(Scale):\n    weight_name: str = 'v'\n"
    found = converted(tmp_path, "Scale()(Other()(x))", more=more)
    assert sorted(entries(found)) == [("params/v", "w"), ("params/w", "w")]


def test_two_variables_that_may_have_one_name(tmp_path: Path) -> None:
    name = "self.weight_name, nn.initializers.ones, (3,)) + self.param('b'"
    assert converted(tmp_path, "Scale('b')(x)", name).refused["model.Scale"].reason == "parameter-names"
    assert "model.Scale" in converted(tmp_path, "Scale('c')(x)", name).converted


def test_programs_read_the_parameter_by_any_of_its_names() -> None:
    more = """

model = Model()
variables = model.init(jax.random.key(0), jnp.ones((2, 3)))
gate = variables["params"]["Scale_0"]["gate"]
out = model.apply(variables, jnp.ones((2, 3)))
"""
    code = CODE.replace("SCALES", "Scale('gate')(x)").replace("NAME", "self.weight_name") + more
    path = Path("/project/model.py")
    texts, _ = fix_files({path: code}, resolve_rules(["linen-module"]))
    text = texts[path]
    assert "nn.Module" not in text
    assert '["w"]' in text and '["gate"]' not in text
