"""Partition metadata: names of axes move to NNX's variables; programs that read Linen's boxes get them from there."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.linen_module.test_state import conversion
from tests.rules.harness import fix_files, resolve_rules

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


def _both(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a script leaves behind, and what it does once it is NNX."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "nnx_compat", raising=False)
    path = folder / "train.py"
    path.write_text(code)
    before = runpy.run_path(str(path))
    texts, _ = fix_files({path: code}, resolve_rules(["linen-module"]))
    assert "nn.Module" not in texts[path]
    for file, text in texts.items():
        file.write_text(text)
    after = runpy.run_path(str(path))
    monkeypatch.delitem(sys.modules, "nnx_compat")
    return before, after


@pytest.mark.parametrize(("parts", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_stays(tmp_path: Path, parts: dict[str, str], detail: str) -> None:
    code = CODE.format(**{"before": "", "init": ANNOTATED, "after": "", **parts})
    assert conversion(tmp_path, code) == f"unsupported-layer: {detail}"


FOR_A_LIBRARY = """
from aqt.jax.v2.flax import aqt_flax

def boxed(x, axes):
    return nn.with_logical_partitioning(lambda: x, axes)()

class Quantization:
    def _wrapper(self, axes):
        return None if axes is None else partial(boxed, axes=axes)

    def product(self, axes=None):
        wrapper = self._wrapper(axes)
        return partial(aqt_flax.AqtDotGeneral, wrapper={given})
"""


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ("wrapper", ""),
        ("wrapper", "def init(key, shape): return boxed(jax.numpy.ones(shape), ())\nINITS = [init]"),
        ("wrapper", "BOXED = partial(boxed, axes=())"),
        ("wrapper", "BOXED = getattr(layers, 'boxed')"),
        ("jax.jit(wrapper)", ""),
        ("Settings(wrapper)", "class Settings:\n    wrapper: object"),
    ],
)
def test_boxes_that_only_libraries_get(tmp_path: Path, given: str, more: str) -> None:
    """They are no initializers of the project's modules; what anything else gets may be one."""
    before = f"{FOR_A_LIBRARY.format(given=given)}\n{more}\n"
    text = conversion(tmp_path, CODE.format(before=before, init="nn.initializers.ones", after=""))
    refusal = "unsupported-layer: initializers with partition metadata, made outside of classes in `model`"
    assert (text == refusal) == ((given, more) != ("wrapper", ""))


def test_names_of_axes_are_kept_and_nothing_is_placed(tmp_path: Path) -> None:
    text = conversion(tmp_path, CODE.format(before="", init=ANNOTATED, after=""))
    written = 'kernel_init=nnx.with_partitioning(nnx.initializers.ones,(None,"model"),eager_sharding=False)'
    assert written in "".join(text.split())


READS_BOXES = """
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        logical = nn.with_logical_partitioning(nn.initializers.constant(0.5), ("embed", "mlp"))
        x = nn.Dense(3, kernel_init=logical)(x)
        return nn.Dense(2, kernel_init=nn.with_partitioning(nn.initializers.ones, (None, "model")))(x)


model, x = Model(), jnp.arange(8.0).reshape(2, 4)
variables = model.init(jax.random.key(0), x)
state = TrainState.create(apply_fn=model.apply, params=variables["params"], tx=optax.adam(1e-2))
specs = nn.get_partition_spec(state)
meshes = nn.logical_to_mesh(specs, (("embed", None), ("mlp", "data")))


@jax.jit
def step(state):
    def loss_fn(params):
        return jnp.sum(state.apply_fn({"params": params}, x) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    return state.apply_gradients(grads=grads), loss


losses = []
for _ in range(5):
    state, loss = step(state)
    losses.append(loss)
plain = jax.tree.leaves(nn.meta.unbox(state.params))
"""


def test_programs_that_read_boxes_find_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = _both(tmp_path, monkeypatch, READS_BOXES)
    for name in ("specs", "meshes"):
        assert jax.tree.leaves(before[name]) == jax.tree.leaves(after[name])
    assert jax.sharding.PartitionSpec("embed", "mlp") in jax.tree.leaves(after["specs"])
    assert before["losses"] == after["losses"]
    jax.tree.map(np.testing.assert_array_equal, before["plain"], after["plain"])


OLDER = """
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.linen import partitioning

class Scale(nn.Module):
    axes: tuple = ("embed",)

    @nn.compact
    def __call__(self, x):
        return x * partitioning.param_with_axes({call})

class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Scale(None, name="last")(nn.Dense(2, name="dense")({made}(x)))
{after}"""
CALL = '"scale", nn.initializers.ones, x.shape[-1:], axes=self.axes'
READS_AXES = """
model, x = Model(), jnp.arange(8.0).reshape(2, 4)
variables = model.init(jax.random.key(0), x)
names = partitioning.get_axis_names(variables["params_axes"])
again = model.apply({"params": variables["params"]}, x, mutable=["params_axes"])[1]
out = model.apply({"params": jax.tree.map(jnp.ones_like, variables["params"])}, x)
"""
OLDER_REFUSED = {
    "another module": (
        {"call": f"{CALL}, module=self"},
        "unsupported-api: `param_with_axes` for another module than that of the method",
    ),
    "initializers that name axes, too": (
        {"call": CALL, "after": f"\nINIT = [{ANNOTATED}]\n"},
        "unsupported-layer: initializers with partition metadata, made outside of classes in `model`",
    ),
    "members, where names are read": (
        {
            "call": CALL,
            "made": 'nn.vmap(Scale, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=2)()',
            "after": READS_AXES,
        },
        "unsupported-layer: modules are mapped, or scanned, where `params_axes` is read: "
        "Linen leaves theirs out there",
    ),
}


@pytest.mark.parametrize(("parts", "detail"), OLDER_REFUSED.values(), ids=OLDER_REFUSED)
def test_which_older_functions_stay(tmp_path: Path, parts: dict[str, str], detail: str) -> None:
    code = OLDER
    for name, text in {"made": "Scale()", "after": "", **parts}.items():
        code = code.replace(f"{{{name}}}", text)
    assert conversion(tmp_path, code) == detail


def test_the_collection_of_names_is_made_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        OLDER.replace("{call}", CALL).replace("{made}", "Scale(name='first')").replace("{after}", READS_AXES)
    )
    before, after = _both(tmp_path, monkeypatch, code)
    for name in ("names", "again"):
        assert before[name] == after[name]
    assert before["variables"]["params_axes"] == after["variables"]["params_axes"]
    assert list(before["names"]) == ["first"]
    np.testing.assert_array_equal(before["out"], after["out"])
