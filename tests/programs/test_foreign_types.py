"""Code for other frameworks in projects that have models for several of them."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODELS = """\
import flax.linen as nn
import tensorflow as tf


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


def get(name):
    return Net() if name == "net" else tf.keras.Sequential([tf.keras.layers.Dense(4)])
"""
USER = """\
import jax
import models

model = models.get("net")
params = model.init(jax.random.key(0), jax.numpy.ones((1, 3)))
"""
TRAINER = """\
from typing import Optional

import tensorflow as tf
import models


def step(model: {annotation}, batch):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch, training=True))
    return loss, tape


def train(name, batch):
    return step(models.get(name), batch)
"""


def moves(trainer: str) -> bool:
    """Whether the model and its user are converted."""
    files = {"models": MODELS, "user": USER, "trainer": trainer}
    paths = {Path(f"/project/{name}.py"): dedent(text) for name, text in files.items()}
    after = fix_files(paths, resolve_rules(["linen-module"]))[0]
    return "class Net(nnx.Module)" in after[Path("/project/models.py")]


@pytest.mark.parametrize(
    "annotation",
    ["tf.keras.Model", "'tf.keras.Model'", "Optional[tf.keras.Model]", "tf.keras.Model | None"],
)
def test_functions_for_models_of_other_frameworks_get_none_of_linen(annotation: str) -> None:
    assert moves(TRAINER.format(annotation=annotation))


@pytest.mark.parametrize(
    "annotation", ["object", "Optional[object]", "'tf.keras.Model | object'", "list[tf.keras.Model]"]
)
def test_other_functions_may_get_one(annotation: str) -> None:
    assert not moves(TRAINER.format(annotation=annotation))


def test_declarations_in_files_that_know_jax_may_be_left_from_before_a_port() -> None:
    assert not moves("import jax\n" + TRAINER.format(annotation="tf.keras.Model"))
