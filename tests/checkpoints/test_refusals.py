"""What doesn't fit is listed leaf by leaf, before anything is written."""

import json

import numpy as np
import pytest
from flax import serialization

from nnx_migrate.checkpoints.convert import plan_conversion
from nnx_migrate.checkpoints.errors import CheckpointError, MappingError
from nnx_migrate.checkpoints.options import Options

PARAMS = {
    "Dense_0": {"kernel": np.ones((3, 5), np.float32), "bias": np.ones(5, np.float32)},
    "head": {"kernel": np.ones((5, 2), np.float32), "bias": np.ones(2, np.float32)},
}


@pytest.fixture
def plan(tmp_path, write_map, project):
    def run(tree, model="MLP", parameter_map="recorded", **choices):
        (tmp_path / "source").write_bytes(serialization.to_bytes(tree))
        file = write_map() if parameter_map == "recorded" else parameter_map
        return plan_conversion(
            tmp_path / "source",
            model if ":" in model else f"new_models:{model}",
            parameter_map=file,
            folder=project,
            options=Options(**choices),
        )

    return run


def changed(**layers):
    tree = {name: dict(layer) for name, layer in PARAMS.items()}
    for name, layer in layers.items():
        if layer is None:
            del tree[name]
        else:
            tree.setdefault(name, {}).update(layer)
    return {
        "params": {name: {k: v for k, v in layer.items() if v is not None} for name, layer in tree.items()}
    }


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (changed(head={"bias": None}), ["NNX leaf head/bias is not mapped"]),
        (changed(head=None), ["NNX leaf head/bias is not mapped", "NNX leaf head/kernel is not mapped"]),
        (changed(extra={"kernel": np.ones(2)}), ["Linen leaf params/extra/kernel is not mapped"]),
        (changed(head={"kernel": np.ones((5, 7), np.float32)}), ["shape (5, 7) in Linen, (5, 2) in NNX"]),
        ({"weights": {"a": np.ones(2)}}, ["NNX leaf head/bias is not mapped"]),
    ],
)
def test_missing_extra_and_misshaped_leaves(tree, lines, plan):
    with pytest.raises(MappingError) as raised:
        plan(tree)
    for line in lines:
        assert line in str(raised.value)


def test_a_stacked_leaf_with_another_number_of_layers(plan, write_map):
    from tests.checkpoints.project import maps

    stacked = {"kernel": np.ones((4, 4, 4), np.float32), "bias": np.ones((4, 4), np.float32)}
    tree = {"params": {"layers": {"Dense_0": stacked}, "Dense_0": PARAMS["head"]}}
    with pytest.raises(MappingError, match="unstack cannot make"):
        plan(tree, "Loop", write_map(Loop=maps.SCANNED_TO_LIST))


def test_a_replicated_checkpoint_is_recognised(plan):
    replicated = {
        name: {leaf: np.stack([value] * 4) for leaf, value in layer.items()} for name, layer in PARAMS.items()
    }
    with pytest.raises(MappingError, match="--unreplicate"):
        plan({"params": replicated})


def test_parameters_without_a_model(plan):
    tree = {"generator": {"params": PARAMS}, "discriminator": {"params": {"Dense_0": {"kernel": np.ones(9)}}}}
    with pytest.raises(MappingError, match="discriminator/params/Dense_0/kernel: no model was given"):
        plan(tree)
    assert len(plan(tree, drop=("discriminator",)).plan.arrays()) == 4


def test_arrays_that_orbax_can_not_store(plan):
    with pytest.raises(MappingError, match="buffer has no elements"):
        plan({"params": PARAMS, "buffer": np.zeros((0, 3))})
    with pytest.raises(MappingError, match="holds a complex"):
        plan({"params": PARAMS, "z": 1 + 2j})


def test_a_map_without_the_models_class(plan, tmp_path):
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"version": 1, "modules": {"other:Net": {"entries": []}}}))
    with pytest.raises(MappingError, match="The map knows: other:Net"):
        plan({"params": PARAMS}, parameter_map=file)
    with pytest.raises(MappingError, match="has no class x:Y"):
        plan({"params": PARAMS}, root_class="x:Y")


def test_a_map_with_a_longer_module_name_is_the_same(plan, tmp_path, write_map):
    recorded = json.loads(write_map().read_text())
    modules = {f"src.lib.{name}": value for name, value in recorded["modules"].items()}
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"version": 1, "modules": modules}))
    assert len(plan({"params": PARAMS}, parameter_map=file).plan.arrays()) == 4


@pytest.mark.parametrize("content", ["no json", "[]", '{"version": 99}'])
def test_a_map_that_can_not_be_read(content, plan, tmp_path):
    file = tmp_path / "map.json"
    file.write_text(content)
    with pytest.raises(MappingError, match="parameter map can't be read"):
        plan({"params": PARAMS}, parameter_map=file)


def test_no_map_at_all(plan):
    with pytest.raises(MappingError, match="--map"):
        plan({"params": PARAMS}, parameter_map=None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no_such_module:f", "can't be imported"),
        ("new_models:no_such_name", "can't be built: NameError"),
        ("new_models:labels", "can't be built: TypeError"),
        ("new_models:OPTIMIZERS", "Expected one NNX model"),
        ("new_models:3", "Expected one NNX model"),
        ("new_models:f(", "can't be imported"),
        ("new_models:", "names no model"),
    ],
)
def test_models_that_can_not_be_built(model, message, plan):
    with pytest.raises(CheckpointError, match=message):
        plan({"params": PARAMS}, model)


def test_two_models_in_a_tuple_need_names(plan):
    with pytest.raises(CheckpointError, match="return a dict"):
        plan({"params": PARAMS}, "new_models:(MLP(rngs=nnx.Rngs(0)), MLP(rngs=nnx.Rngs(1)))")


def test_linen_modules_behind_bridges_need_variables(plan):
    with pytest.raises(MappingError) as raised:
        plan(changed(), model="Bridged")
    assert "hidden is a Linen module without variables" in raised.value.hint
    assert "lazy_init" in raised.value.hint
    plan(changed(), model="initialised_bridge")
