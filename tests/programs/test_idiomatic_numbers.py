"""Training leaves the same parameters, statistics and optimizer states, to the last bit, in both forms."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from tests.rules.harness import FIXTURES
from tests.rules.keys import plain_keys


def load(case: str, side: str) -> ModuleType:
    path = FIXTURES / "linen-module" / case / side / "main.py"
    spec = importlib.util.spec_from_file_location(f"numbers_{side}_{case}".replace("-", "_"), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arrays(*trees: Any) -> Counter[tuple[tuple[int, ...], bytes]]:
    """The arrays of trees, whatever their names. Random streams don't count, nor do numbers of steps."""
    leaves = [np.asarray(leaf) for tree in trees for leaf in jax.tree.leaves(tree)]
    return Counter((leaf.shape, leaf.tobytes()) for leaf in leaves if leaf.ndim)


@pytest.mark.parametrize(
    ("case", "train"),
    [
        ("program-supervised-mnist", lambda m: m.train_and_evaluate(3, 4)),
        ("program-train-step-dropout", lambda m: m.train(seed=3, num_epochs=1)),
    ],
)
def test_training_ends_with_the_same_arrays(case: str, train: Callable[[ModuleType], Any]) -> None:
    with plain_keys():
        before = train(load(case, "before"))
        after = train(load(case, "after"))
    state = before[0] if type(before) is tuple else before
    model, optimizer = after[:2]
    assert int(state.step) == int(optimizer.step[...]) > 5
    assert arrays(state.params) == arrays(nnx.state(model, nnx.Param))
    assert arrays(getattr(state, "batch_stats", {})) == arrays(nnx.state(model, nnx.BatchStat))
    assert arrays(state.opt_state) == arrays(nnx.state(optimizer.opt_state))
    assert len(arrays(state.opt_state)) > 4
