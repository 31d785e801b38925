"""Converted classes whose values the code has from elsewhere."""

from pathlib import Path

import pytest

from nnx_migrate.array_notation import parse_array
from nnx_migrate.linen.programs.dataflow.closing import own_modules
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.verification.assumed import ways
from nnx_migrate.verification.cases import Cases
from nnx_migrate.verification.comparison import Comparison
from nnx_migrate.verification.old_code import OldCode
from nnx_migrate.verification.running import Runner

MODELS = """
import flax.linen as nn
import jax
import jax.numpy as jnp
from typing import Any, Callable, Sequence


class MLP(nn.Module):
    widths: Sequence[int]
    activation: Callable
    dropout_rate: float
    kind: str
    use_norm: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, obs, deterministic: bool = True):
        for width in self.widths:
            obs = self.activation(nn.Dense(width)(obs))
            obs = nn.Dropout(self.dropout_rate, deterministic=deterministic)(obs)
        return nn.tanh(obs) if self.kind == "bounded" else obs


class Tagger(nn.Module):
    vocabulary: int

    @nn.compact
    def __call__(self, input_ids, mask=None):
        return nn.Embed(self.vocabulary, 4)(input_ids)


class Classifier(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(4, (3, 3), strides=2)(x)
        return nn.Dense(self.num_classes)(x.reshape(x.shape[0], -1))


class Block(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return x + nn.Dense(self.width)(x)


class Stack(nn.Module):
    block: Any
    width: int

    @nn.compact
    def __call__(self, x):
        return self.block(self.width)(nn.Dense(self.width)(x))


class Attention(nn.Module):
    channels: int = 12

    @nn.compact
    def __call__(self, x):
        batch, height, width, _ = x.shape
        return x + nn.Dense(self.channels)(x.reshape(batch, -1, self.channels)).reshape(x.shape)


class Policy(nn.Module):
    action_dim: Sequence[int]
    limits: jax.Array

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.action_dim)(x)


class Tower(nn.Module):
    layer: Any = nn.Conv

    @nn.compact
    def __call__(self, x):
        return self.layer(4, (3, 3))(x)


LOCAL = Tower(layer=nn.ConvLocal)


class Wrapper(nn.Module):
    inner: nn.Module

    def __call__(self, x):
        return self.inner(x)
"""
TRAINING = """
import functools
import jax
import jax.numpy as jnp
import numpy as np
from models import Block, Classifier, MLP, Stack

class Config:
    WIDTH = 8


SmallStack = functools.partial(Stack, block=Block, width=Config.WIDTH)


def create(config, env, key):
    first, second = jax.random.split(key)
    policy = MLP(config.widths, kind="bounded", dropout_rate=0.25, activation=jax.nn.gelu, use_norm=False)
    variables = policy.init(first, jnp.asarray(np.zeros((3, env.observation_size))))
    model = Classifier(len(config.labels))
    return variables, model.init(second, jax.random.uniform(second, (2, 12, 12, 1)), train=False)
"""


@pytest.fixture
def code(tmp_path: Path) -> OldCode:
    old = tmp_path / "old"
    old.mkdir()
    (old / "models.py").write_text(MODELS)
    (old / "training.py").write_text(TRAINING)
    return OldCode(old)


def first(code: OldCode, name: str, stated: tuple[str, ...] = (), sizes: tuple[dict, ...] = ()):
    arrays = [parse_array(text) for text in stated]
    key = f"models:{name}"
    return next(iter(ways(code.classes[key], code.shown(key), arrays, {"sizes": sizes})), None)


def test_what_the_code_shows_is_taken_and_the_rest_is_small(code: OldCode) -> None:
    way = first(code, "MLP")
    assert way is not None
    assert way.arguments == (
        "widths=(8, 8), activation=jax.nn.gelu, dropout_rate=0.25, kind='bounded', use_norm=False"
    )
    assert way.inputs == ("jnp.asarray(np.zeros((3, 8)))",)


def test_random_inputs_of_the_code_with_any_key(code: OldCode) -> None:
    way = first(code, "Classifier")
    assert way is not None
    assert way.inputs == ("jax.random.uniform(jax.random.key(0), (2, 12, 12, 1))",)


def test_names_and_recorded_sizes_speak_for_inputs(code: OldCode) -> None:
    way = first(code, "Tagger")
    assert way is not None
    assert (way.fields, way.inputs) == ({"vocabulary": "8"}, ("i32[2,8]",))
    (code.root / "training.py").write_text("")
    untold = OldCode(code.root)
    way = first(untold, "Classifier", sizes=({"path": ["x"], "axis": -3, "name": "height"},))
    assert way is not None
    assert way.inputs == ("f32[2,16,16,3]",)


def test_a_recorded_rank_speaks_for_inputs(code: OldCode) -> None:
    (code.root / "training.py").write_text("")
    way = first(OldCode(code.root), "Classifier", sizes=({"path": ["x"], "axis": -1, "rank": 4},))
    assert way is not None
    assert way.inputs == ("f32[2,16,16,3]",)


def test_numbers_that_are_declared_as_sequences(code: OldCode) -> None:
    found = ways(code.classes["models:Policy"], code.shown("models:Policy"), [], {})
    assert {way.fields["action_dim"] for way in found} >= {"(8, 8)", "8"}


def test_arrays_are_made_up_for_fields(code: OldCode) -> None:
    way = first(code, "Policy")
    assert way is not None
    assert way.fields["limits"] == "jnp.array([8, 8])"


def test_factories_that_are_given_in_some_places_keep_their_default(code: OldCode) -> None:
    found = ways(code.classes["models:Tower"], code.shown("models:Tower"), [], {})
    assert "layer" not in found[0].fields
    assert "nn.ConvLocal" in {way.fields.get("layer") for way in found}


def test_stated_inputs_come_first(code: OldCode) -> None:
    way = first(code, "Tagger", ("i32[4,3]",))
    assert way is not None
    assert way.inputs == ("i32[4,3]",)


def test_a_partial_shows_values_and_names_of_the_project(code: OldCode) -> None:
    way = first(code, "Stack")
    assert way is not None
    assert way.fields == {"block": "models.Block", "width": "training.Config.WIDTH"}
    assert own_modules(way.fields.values(), code.project) == ["models", "training"]


def test_widths_that_are_defaults_are_tried_for_inputs(code: OldCode) -> None:
    found = ways(code.classes["models:Attention"], code.shown("models:Attention"), [], {})
    assert "f32[2,8,8,12]" in {way.inputs[0] for way in found}


def test_nothing_is_made_up_for_a_module(code: OldCode) -> None:
    assert first(code, "Wrapper") is None


def compare(code: OldCode, new: str, *names: str) -> Comparison:
    """Compares with another version of the models; `names` are said to be converted, and are Linen on both sides."""
    after = code.root.parent / "new"
    after.mkdir()
    (after / "models.py").write_text(new)
    (after / "training.py").write_text(TRAINING)
    cases = Cases(code.root, after, {f"models:{name}": {} for name in names}, [])
    cases.case = lambda called: _linen_after(Cases.case(cases, called))
    comparison = Comparison(
        cases, Runner(None, Protocol(modes=("jit",), steps=0, gradients=False)), StatedInputs(), (), True
    )
    for _ in comparison.run():
        pass
    return comparison


def _linen_after(case):
    from dataclasses import replace

    assert case.after is not None
    return replace(case, after=replace(case.after, kind="linen", model=case.before.model))


def test_values_are_tried_on_the_code_before_and_the_report_says_them(code: OldCode) -> None:
    new = MODELS.replace(
        "nn.Embed(self.vocabulary, 4)(input_ids)", "2 * nn.Embed(self.vocabulary, 4)(input_ids)"
    )
    result = compare(code, new, "Tagger", "Stack", "Wrapper").result
    stack, tagger, wrapper = sorted(result.verdicts, key=lambda v: v.case.model)
    assert stack.word == "equal"
    assert 'setup = "import models\\nimport training"' in stack.case.snippet
    assert tagger.word == "different"
    assert tagger.proof is not None
    assert any('args = "vocabulary=8", inputs = ["i32[2,8]"]' in note for note in tagger.proof.notes)
    assert wrapper.word == "not compared"
    assert result.uncovered == ["models:Wrapper"]
    (snippet,) = result.snippets
    assert snippet.splitlines() == [
        "[[tool.nnx-migrate.verify]]",
        'model = "models:Wrapper"',
        'args = "inner=..."',
        'inputs = ["f32[...]"]',
    ]
    assert result.failed
