"""Each fixture pair: `after.py` is what the tool writes, and computes what `before.py` computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnx_migrate.numerics.inputs import Inputs, Protocol
from nnx_migrate.numerics.judging import Tolerances
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.modules import IsolatedTree, load_file
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.proof import prove
from tests.linen_module.fixture import Case, cases, convert, folders


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def integers(high: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(0, high, size=shape), jnp.int32)


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_the_tool_writes_after_byte_for_byte(folder: Path) -> None:
    text, conversions = convert(folder / "before.py")
    assert conversions.refused == {}
    assert text == (folder / "after.py").read_text()
    for path, helpers in conversions.helper_files.items():
        assert helpers == path.read_text()


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_after_computes_the_same(case: Case) -> None:
    _, conversions = convert(case.folder / "before.py")
    before = load_file(case.folder / "before.py", "before")
    with IsolatedTree(case.folder).active():
        after = load_file(case.folder / "after.py", "before")
    names: dict[str, Any] = {"jnp": jnp, "jax": jax, "np": np, "normal": normal, "integers": integers}

    def value(text: str, **more: Any) -> Any:
        return eval(text, {**names, **more})

    inputs = Inputs(
        tuple(value(text) for text in case.args),
        {name: value(text) for name, text in case.eval.items()},
        None if case.train is None else {name: value(text) for name, text in case.train.items()},
        case.method,
    )

    def build(rngs: nnx.Rngs) -> nnx.Module:
        return value(case.nnx_model, rngs=rngs, **vars(after))

    tolerances: Tolerances | None = value(case.tolerance) if case.tolerance else None
    proof = prove(
        LinenSide(value(case.model, **vars(before)), inputs),
        NNXSide(build, inputs),
        conversions.parameter_map,
        Protocol(modes=("jit",), steps=3),
        tolerances,
    )
    failed = [f"{c.name}: {c.status} {c.reason}" for c in proof.checks if c.status not in ("equal", "close")]
    assert not failed
