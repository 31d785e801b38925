"""Partition metadata: names of axes move to NNX's variables, unless something in the project reads Linen's boxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.test_state import conversion

CODE = """
import flax.linen as nn
import jax
from functools import partial
{before}

class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, kernel_init={init})(x)
{after}"""
ANNOTATED = 'nn.with_partitioning(nn.initializers.ones, (None, "model"))'

REFUSED = {
    "specs that a program reads": (
        {
            "after": "\n\nspecs = nn.get_partition_spec(jax.eval_shape(Model().init, jax.random.key(0), 1.0))\n"
        },
        "partition metadata, which `get_partition_spec` may read",
    ),
    "an initializer made elsewhere": (
        {"before": f"\nINIT = {ANNOTATED}\n", "init": "INIT"},
        "initializers with partition metadata, made outside of classes in `model`",
    ),
    "a partial": (
        {"init": "partial(nn.with_partitioning, names=(None, None))(nn.initializers.ones)"},
        "`nn.with_partitioning` that isn't called where it stands",
    ),
    "a mesh": (
        {"init": ANNOTATED.replace('"model"))', '"model"), mesh=jax.sharding.get_abstract_mesh())')},
        "`nn.with_partitioning` with `mesh`",
    ),
}


@pytest.mark.parametrize(("parts", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_stays(tmp_path: Path, parts: dict[str, str], detail: str) -> None:
    code = CODE.format(**{"before": "", "init": ANNOTATED, "after": "", **parts})
    assert conversion(tmp_path, code) == f"unsupported-layer: {detail}"


def test_names_of_axes_are_kept_and_nothing_is_placed(tmp_path: Path) -> None:
    text = conversion(tmp_path, CODE.format(before="", init=ANNOTATED, after=""))
    written = 'kernel_init=nnx.with_partitioning(nnx.initializers.ones,(None,"model"),eager_sharding=False)'
    assert written in "".join(text.split())
