"""The last look at a written class: Linen left behind, and names that lost their meaning, are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.linen.classes.model import LinenProgram
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.written import check_written
from nnx_migrate.sources.text import Edit, SourceText

SOURCE = """\
import flax.linen as nn
import jax.numpy as jnp

SCALE = 2.0


class Net(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, dtype=jnp.float32):
        return nn.Dense(self.width)(x).astype(dtype) * SCALE
"""


def check(new_class: str) -> None:
    """Check `new_class` as the text written in place of `Net`."""
    path = Path("/project/net.py")
    project = Project([path], lambda _: SourceText(SOURCE))
    (cls,) = LinenProgram(project)
    check_written(cls, [Edit(*cls.module.source.span(cls.node), new_class)], {"nnx"}, project)


BODY = "class Net(nnx.Module):\n    def __init__(self, width, *, rngs):\n        "


@pytest.mark.parametrize(
    "statement",
    [
        "self.dense = nnx.Linear(3, width, rngs=rngs)",
        "self.scale = SCALE * float(width)",
        "self.act = nn.gelu",  # a function of Linen that needs no replacement
        "self.init = nn.initializers.zeros_init()",
        "self.sizes = [size for size in (width, 2)]",
        "nn = nnx\n        self.dense = nn.Dense(width)",  # another `nn`
    ],
)
def test_complete_classes_pass(statement: str) -> None:
    check(BODY + statement + "\n")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("self.net = nnx.Sequential(nn.Dense(width))", "unsupported-layer"),
        ("self.net = nn.remat(nnx.Linear)(3, width, rngs=rngs)", "unsupported-layer"),
        ("self.value = nnx.Param(jnp.zeros(3, dtype))", "dynamic-construction"),
        ("self.value = nnx.Param((lambda key: jnp.zeros(3, dtype))(rngs.params()))", "dynamic-construction"),
        ("self.dense = nnx.Linear(size, width, rngs=rngs)", "dynamic-construction"),
        ("self.dense = nnx.Linear(3, width, rngs=rngs", "unsupported-syntax"),
    ],
)
def test_what_is_left_behind_is_refused(statement: str, reason: str) -> None:
    with pytest.raises(Refuse) as refusal:
        check(BODY + statement + "\n")
    assert refusal.value.reason == reason
