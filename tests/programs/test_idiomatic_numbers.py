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

from tests.programs.training import OPTAX, STATISTICS, USUAL, changed
from tests.rules.harness import FIXTURES, fix_text
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


MORE = [
    pytest.param(changed(*usual.values[0]), id=str(usual.id))  # type: ignore[misc]
    for usual in USUAL
    if usual.id in ("usual", "new-name", "early-stop", "all-variables-as-parameters")
]
MORE += [
    pytest.param(STATISTICS, id="statistics"),
    pytest.param(OPTAX.replace("def train(batches, key)", "def train(inputs, key, batches=None)").replace(
        "    model = MLP()", "    batches = [batch['x'] for batch in inputs]\n    model = MLP()"), id="optax"),
    pytest.param(
        changed(
            ("@jax.jit\ndef train_step(state, batch, key)", "def _train_step(state, batch, *, key, scale=1.0)"),
            ("@jax.jit\ndef eval_step", "train_step = jax.jit(_train_step, static_argnames='scale', "
             "donate_argnames=('state',))\n\n\n@jax.jit\ndef eval_step"),
            ("train_step(state, batch, key)\n", "train_step(state, batch, key=key, scale=2.0)\n"),
            (".mean()\n", ".mean() * scale\n"),
        ),
        id="wrapped-with-options",
    ),
    pytest.param(
        changed(
            ("        return ((logits - batch", "        return (scale * (logits - batch"),
            ("    def loss_fn(params)", "    def loss_fn(scale, params)"),
            ("    loss, grads = jax.value_and_grad(loss_fn)(state.params)",
             "    grads, aux = jax.grad(with_aux, argnums=1, has_aux=True)(2.0, state.params)\n    loss = aux['loss']"),
        ).replace("    grads, aux =", "    def with_aux(scale, params):\n        loss = loss_fn(scale, params)\n"
                  "        return loss, {'loss': loss}\n\n    grads, aux ="),
        id="auxiliary-values",
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", MORE)
def test_every_recognised_shape_computes_the_same(text: str) -> None:
    fixed = fix_text(text, "linen-module")
    assert "nnx.Optimizer(" in fixed and "Functional(" not in fixed
    keys = jax.random.split(jax.random.key(5), 4)
    batches = [{"x": jax.random.normal(k, (6, 4)), "y": jax.random.normal(k, (6, 2))} for k in keys]
    results = []
    for code in (text, fixed):
        printed: list[Any] = []
        names: dict[str, Any] = {"print": lambda *values, into=printed: into.append(values)}
        with plain_keys():
            exec(compile(code, "program", "exec"), names)
            outcome = names["train"](batches, jax.random.key(0))
        results.append([np.asarray(leaf) for leaf in jax.tree.leaves((outcome, printed))])
    assert len(results[0]) > 4
    for before, after in zip(*results, strict=True):
        np.testing.assert_array_equal(before, after)
