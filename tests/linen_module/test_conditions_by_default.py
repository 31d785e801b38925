"""Modules below conditions that the defaults of a call's arguments decide."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import Conversions, convert_project
from nnx_migrate.sources.text import SourceText
from tests.linen_module.fixture import convert

CODE = """
    import flax.linen as nn
    import jax
    import jax.numpy as jnp


    class Net(nn.Module):
        aux_logits: bool = False
        wide: bool = False
        deep: bool = False

        @nn.compact
        def __call__(self, x, train: bool = {default}):
            x = nn.Dense(4)(x)
            if {condition}:
                x = x + nn.Dense(4, name="aux")(x)
            return nn.Dense(3)(x)


    class Holder(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool = True):
            return Net(True)(x, train)


    class Other(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool = True):
            return nn.Dense(3)(x)
"""


def _convert(tmp_path: Path, default: str, condition: str, program: str = "") -> tuple[str, Conversions]:
    model, user = tmp_path / "model.py", tmp_path / "program.py"
    model.write_text(dedent(CODE).format(default=default, condition=condition))
    user.write_text(f"import model\n\nnet = model.{program}\n" if program else "")
    project = Project([model, user], lambda path: SourceText.decode(path.read_bytes()))
    conversions = convert_project(project)
    module = project.module(model)
    assert module is not None
    edits = [edit for conversion in conversions.converted.values() for edit in conversion.edits]
    return module.source.with_edits(edits).text, conversions


@pytest.mark.parametrize(
    ("default", "condition", "written"),
    [
        ("True", "self.aux_logits and train", "if self.aux_logits:"),
        ("True", "train and self.aux_logits", "if self.aux_logits:"),
        ("False", "self.aux_logits and not train", "if self.aux_logits:"),
        ("True", "self.wide and self.deep and train", "if self.wide and self.deep:"),
        ("True", "train and (self.wide or self.deep) and not self.aux_logits", "if (self.wide or self.deep) and not self.aux_logits:"),
    ],
)  # fmt: skip
def test_the_fields_of_the_condition_decide(
    tmp_path: Path, default: str, condition: str, written: str
) -> None:
    text, conversions = _convert(tmp_path, default, condition, "Other().init(key, x, train=False)")
    assert "model.Net" not in conversions.refused
    assert written in text
    assert f"        if {condition}:\n            x = x + self.aux(x)" in text


@pytest.mark.parametrize(
    ("default", "condition"),
    [
        ("False", "self.aux_logits and train"),
        ("True", "self.aux_logits and not train"),
        ("True", "self.aux_logits or train"),
        ("None", "self.aux_logits and train"),
    ],
)
def test_what_defaults_leave_out_is_not_made(tmp_path: Path, default: str, condition: str) -> None:
    _, conversions = _convert(tmp_path, default, condition)
    assert conversions.refused["model.Net"].reason == "dynamic-construction"


@pytest.mark.parametrize("program", ["Net().init(key, x, train=False)", "Holder().init(key, x, False)"])
def test_a_program_that_initialises_without_keeps_the_class(tmp_path: Path, program: str) -> None:
    _, conversions = _convert(tmp_path, "True", "self.aux_logits and train", program)
    assert conversions.refused["model.Net"].reason == "dynamic-construction"


def test_a_size_that_a_helper_decides_by_a_field_is_written_out(tmp_path: Path) -> None:
    code = """
        import flax.linen as nn
        import jax.numpy as jnp


        class Net(nn.Module):
            widen: bool = False

            @nn.compact
            def __call__(self, x):
                x = self._prepared(x)
                return nn.Dense(4)(x)

            def _prepared(self, x):
                if self.widen:
                    x = jnp.concatenate([x[..., :1], x[..., 1:2] * 2, x[..., 2:3]], axis=-1)
                return x
    """
    path = tmp_path / "model.py"
    path.write_text(dedent(code))
    text, conversions = convert(path)
    assert not conversions.refused
    assert "if self.widen else in_features" in " ".join(text.split())
