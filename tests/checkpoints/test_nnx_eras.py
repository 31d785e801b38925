"""Checkpoints of older NNX programs.

Their trees are those that Flax 0.10.2, 0.10.7 and 0.11.1 wrote (recorded by running those releases), saved
here by the installed Orbax.
"""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx, traverse_util

from nnx_migrate.checkpoints.convert import plan_conversion
from nnx_migrate.checkpoints.errors import MappingError
from nnx_migrate.checkpoints.options import Options
from tests.checkpoints.states import flat_nnx, new_models

KEY = np.asarray([3, 4], np.uint32)
COUNT = np.asarray(5, np.uint32)

#: Before Flax 0.11 one Rngs was shared: its state stood once, at the first module that kept it, by stream.
SHARED_RNGS = {
    "dropout/rngs/default/count": COUNT,
    "dropout/rngs/default/key": KEY,
    "dropout/rngs/dropout/count": COUNT,
    "dropout/rngs/dropout/key": KEY,
}
#: Since 0.11 each Dropout has a stream of its own.
OWN_STREAMS = {
    "dropout/rngs/count": COUNT,
    "dropout/rngs/key": KEY,
    "rngs/default/count": COUNT,
    "rngs/default/key": KEY,
}


def model():
    return new_models.SharedRngs(nnx.Rngs(0))


def trained():
    """The leaves of a trained model, PRNG state left out."""
    leaves = {path: leaf for path, leaf in flat_nnx(model()).items() if "rngs" not in path}
    random = np.random.default_rng(0)
    return {path: random.standard_normal(leaf.shape).astype(leaf.dtype) for path, leaf in leaves.items()}


def save(folder, flat):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, traverse_util.unflatten_dict(flat, sep="/"))
    return folder


def boxed(flat, box="value"):
    return {f"{path}/{box}": leaf for path, leaf in flat.items()}


def convert(source, tmp_path, project, expression="SharedRngs(nnx.Rngs(0))", **choices):
    conversion = plan_conversion(
        source, f"new_models:{expression}", folder=project, options=Options(**choices)
    )
    conversion.write(tmp_path / "converted")
    return conversion


def restore(tmp_path, target):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(tmp_path / "converted", target)


@pytest.mark.parametrize("rngs", [SHARED_RNGS, OWN_STREAMS, {}], ids=["0.10", "0.11", "without"])
@pytest.mark.parametrize("box", ["value", "raw_value", None])
def test_models_of_every_era_are_restored(rngs, box, tmp_path, project):
    leaves = trained()
    stored = {**leaves, **rngs} if box is None else boxed({**leaves, **rngs}, box)
    convert(save(tmp_path / "old", stored), tmp_path, project)
    new = model()
    nnx.update(new, restore(tmp_path, nnx.state(new)))
    found = flat_nnx(new)
    for path, leaf in leaves.items():
        np.testing.assert_array_equal(found[path], leaf)


def test_streams_that_still_exist_are_kept_and_others_noted(tmp_path, project):
    old = save(tmp_path / "old", boxed({**trained(), **OWN_STREAMS}))
    conversion = convert(old, tmp_path, project)
    new = restore(tmp_path, nnx.state(model()))
    assert jax.random.key_data(new["dropout"]["rngs"]["key"][...]).tolist() == KEY.tolist()
    assert new["rngs"]["default"]["count"][...] == COUNT
    assert not conversion.plan.notes


def test_shared_streams_are_replaced_with_a_note(tmp_path, project):
    old = save(tmp_path / "old", boxed({**trained(), **SHARED_RNGS}))
    conversion = convert(old, tmp_path, project)
    assert any("4 PRNG leaves" in note for note in conversion.plan.notes)
    new, initial = restore(tmp_path, nnx.state(model())), model()
    stream = new["dropout"]["rngs"]
    assert jax.random.key_data(stream["key"][...]).tolist() == (
        jax.random.key_data(initial.dropout.rngs.key[...]).tolist()
    )


def test_the_optimizer_of_0_10_held_its_model(tmp_path, project):
    """{model, opt_state, step} becomes a model and an nnx.Optimizer of today."""
    initial, optimizer = new_models.mlp_with("adam")
    leaves = {path: leaf + 1 for path, leaf in flat_nnx(initial).items()}
    stored = {f"model/{path}": leaf for path, leaf in leaves.items()}
    stored |= {path: leaf + 2 for path, leaf in flat_nnx(optimizer).items()}
    convert(save(tmp_path / "old", boxed(stored)), tmp_path, project, "mlp_with('adam')")
    loaded = restore(tmp_path, {"model": nnx.state(initial), "optimizer": nnx.state(optimizer)})
    np.testing.assert_array_equal(loaded["model"]["head"]["bias"][...], leaves["head/bias"])
    moments = loaded["optimizer"]["opt_state"][0]["mu"]["head"]["kernel"][...]
    np.testing.assert_array_equal(moments, np.full((5, 2), 2, np.float32))
    assert loaded["optimizer"]["step"][...] == 2


def test_a_model_and_optimizer_in_one_object_stay_one(tmp_path, project):
    def build():
        return nnx.ModelAndOptimizer(*new_models.mlp_with("adam")[:1], new_models.OPTIMIZERS["adam"]())

    stored = {path: leaf + 1 for path, leaf in flat_nnx(build()).items()}
    expression = "nnx.ModelAndOptimizer(MLP(rngs=nnx.Rngs(0)), OPTIMIZERS['adam']())"
    convert(save(tmp_path / "old", boxed(stored)), tmp_path, project, expression)
    found = build()
    nnx.update(found, restore(tmp_path, nnx.state(found)))
    for path, leaf in flat_nnx(found).items():
        np.testing.assert_array_equal(leaf, stored[path])


def test_todays_layout_passes_through(tmp_path, project):
    initial, optimizer = new_models.mlp_with("adam")
    stored = {f"model/{path}": leaf + 1 for path, leaf in flat_nnx(initial).items()}
    stored |= {f"optimizer/{path}": leaf + 2 for path, leaf in flat_nnx(optimizer).items()}
    convert(save(tmp_path / "old", boxed(stored)), tmp_path, project, "mlp_with('adam')")
    loaded = restore(tmp_path, {"model": nnx.state(initial), "optimizer": nnx.state(optimizer)})
    assert loaded["optimizer"]["opt_state"][0]["count"][...] == 2


def test_leaves_that_changed_are_listed(tmp_path, project):
    leaves = trained()
    leaves["linear/kernel"] = np.ones((3, 5), np.float32)
    del leaves["value/bias"]
    leaves["old/kernel"] = np.ones(2, np.float32)
    with pytest.raises(MappingError) as raised:
        convert(save(tmp_path / "old", boxed(leaves)), tmp_path, project)
    text = str(raised.value)
    assert "linear/kernel: shape (3, 5)" in text
    assert "NNX leaf value/bias is not mapped" in text
    assert "old/kernel is not mapped" in text
    assert not (tmp_path / "converted").exists()
