"""Inputs that may be dictionaries: functions that join all of their arrays give a size, others that nearly do don't."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.sources.files import load_source
from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

HEADER = """\
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict


"""
FLATTEN = """\
def flatten(x):
    if hasattr(x, "values"):
        return jnp.concatenate([flatten(v) for _, v in sorted(x.items())], axis=-1)
    return x
"""
MODEL = """

class Model(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, observations):
        return nn.Dense(self.width)(flatten(observations))
"""


def refusal(tmp_path: Path, function: str, model: str = MODEL) -> str:
    """Why a model isn't converted, "" if it is."""
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(function) + model)
    found = convert(path)[1].refused.get("model.Model")
    return f"{found.reason}: {found.detail}" if found is not None else ""


@pytest.mark.parametrize(
    "function",
    [
        FLATTEN,
        '''\
        def flatten(x):
            """All that an observation holds."""
            if isinstance(x, (dict, FrozenDict, Mapping)):
                parts = []
                for _, v in x.items():
                    parts.append(flatten(v))
                return jnp.concatenate(parts, -1)
            else:
                return x
        ''',
        """\
        def flatten(x):
            if hasattr(x, "keys"):
                parts = [x[key] for key in sorted(x)]
                return jnp.concatenate(parts, axis=-1)
            return x
        """,
    ],
)
def test_functions_that_join_all_arrays(tmp_path: Path, function: str) -> None:
    assert refusal(tmp_path, function) == ""


NEARLY = {
    "another axis": ("axis=-1", "axis=0"),
    "no axis": (", axis=-1", ""),
    "another function": ("jnp.concatenate", "jnp.stack"),
    "some items": ("sorted(x.items())]", "sorted(x.items()) if _ != 'mask']"),
    "parts of items": ("[flatten(v)", "[flatten(v)[..., :2]"),
    "other items": ("sorted(x.items())", "sorted(other.items())"),
    "keys in place of items": ("[flatten(v)", "[flatten(_)"),
    "arrays that change": ("return x\n", "return jnp.concatenate([x, x], axis=-1)\n"),
    "another test": ('hasattr(x, "values")', "x.ndim"),
    "another function of that name": ("return x\n", "return x\n\n\nflatten = jnp.atleast_2d\n"),
    "a setting": ("def flatten(x)", "def flatten(x, axis=-1)"),
}


@pytest.mark.parametrize(("old", "new"), NEARLY.values(), ids=NEARLY)
def test_functions_that_nearly_do(tmp_path: Path, old: str, new: str) -> None:
    assert old in FLATTEN
    assert refusal(tmp_path, FLATTEN.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("observations):", "observations=None):", "unknown-size"),
        (
            "(flatten(observations))",
            "(flatten(observations)) + nn.Dense(3)(observations)",
            "may be a dictionary",
        ),
        (
            "(flatten(observations))",
            "(flatten(observations)) + nn.Dense(3)(observations['goal'])",
            "has parts",
        ),
    ],
)
def test_inputs_that_are_used_otherwise_too(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in MODEL
    assert why in refusal(tmp_path, FLATTEN, MODEL.replace(old, new))


PROGRAM = """\
import jax.random
from model import Model


def main(observations):
    model = Model(width=4)
    variables = model.init(jax.random.key(0), observations)
    return model.apply(variables, observations)
"""


def test_programs_sum_the_sizes_of_all_arrays(tmp_path: Path) -> None:
    files = {Path("model.py"): HEADER + FLATTEN + MODEL, Path("main.py"): PROGRAM}
    fixed, _ = fix_files(files, resolve_rules(["linen-module"]))
    assert "sum(leaf.shape[-1] for leaf in jax.tree.leaves(observations))" in fixed[Path("main.py")]


TRAINING = """\
import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState
from model import Model


def train(observations, targets):
    model = Model(width=4)
    params = model.init(jax.random.key(0), observations)["params"]
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optax.sgd(0.1))

    @jax.jit
    def step(state):
        def loss_fn(params):
            return jnp.square(state.apply_fn({"params": params}, observations) - targets).mean()

        loss, grads = jax.value_and_grad(loss_fn)(state.params)
        return state.apply_gradients(grads=grads), loss

    for _ in range(3):
        state, loss = step(state)
    return loss
"""


@pytest.mark.parametrize("name", ["observations", "leaf"])
def test_training_programs_do_so_where_they_make_the_model(tmp_path: Path, name: str) -> None:
    model = MODEL.replace("observations", name)
    files = {
        Path("model.py"): HEADER + FLATTEN + model,
        Path("main.py"): TRAINING.replace("observations", name),
    }
    fixed, _ = fix_files(files, resolve_rules(["linen-module"]))
    size = f"sum(leaf.shape[-1] for leaf in jax.tree.leaves({name}))"
    assert size in fixed[Path("main.py")]
    assert ("Functional" in fixed[Path("main.py")]) == (name == "leaf")


def test_programs_where_jax_is_something_else_stay(tmp_path: Path) -> None:
    program = PROGRAM.replace("import jax.random\n", "import jax.random as jr\nimport jax_verify as jax\n")
    (tmp_path / "model.py").write_text(HEADER + FLATTEN + MODEL)
    (tmp_path / "main.py").write_text(program.replace("jax.random.key", "jr.key"))
    (group,) = make_plan(Project(sorted(tmp_path.glob("*.py")), load_source), tmp_path)
    ((_, obstacle),) = group.obstacles
    assert (obstacle.reason, obstacle.detail) == ("name-clash", "`jax` means something else here")
