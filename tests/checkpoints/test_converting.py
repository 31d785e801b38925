"""Converted checkpoints are restored by Orbax as users do it, and the migrated model computes the same."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import core, nnx, serialization

from nnx_migrate.checkpoints.convert import plan_conversion
from nnx_migrate.checkpoints.options import Options
from nnx_migrate.nnx.helpers.functional import Functional
from tests.checkpoints import states
from tests.checkpoints.project import maps
from tests.checkpoints.states import IMAGES, X, new_models, old_models


@pytest.fixture
def convert(tmp_path, write_map, project):
    """Converts a tree, saved as msgpack (or a path), and gives the folder."""

    def run(source, model, map_file=None, step=None, **choices):
        if not hasattr(source, "exists"):
            tree, source = source, tmp_path / "source"
            source.write_bytes(serialization.to_bytes(tree))
        conversion = plan_conversion(
            source,
            f"new_models:{model}",
            parameter_map=map_file or write_map(),
            folder=project,
            options=Options(**choices),
        )
        conversion.write(tmp_path / "converted", step=step)
        return tmp_path / "converted"

    return run


def restore(folder, target):
    """As users do it: Orbax restores into the tree that the program has; the structures must be equal."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder, target)


def restored_model(folder, model):
    nnx.update(model, restore(folder, nnx.state(model)))
    return model


def variables_of(state):
    return {"params": state.params, "batch_stats": state.batch_stats}


def outputs(model):
    return np.asarray(model(IMAGES))


def test_a_train_state_becomes_model_and_optimizer(convert):
    state = states.cnn_state(steps=2)
    folder = convert(state, "cnn_and_optimizer")
    model, optimizer = new_models.cnn_and_optimizer()
    loaded = restore(folder, {"model": nnx.state(model), "optimizer": nnx.state(optimizer)})
    nnx.update(model, loaded["model"])
    nnx.update(optimizer, loaded["optimizer"])
    expected = state.apply_fn(variables_of(state), IMAGES)
    np.testing.assert_array_equal(outputs(model), expected)
    assert optimizer.step[...] == 2 and optimizer.step[...].dtype == jnp.uint32
    moments = state.opt_state[0].mu
    np.testing.assert_array_equal(
        optimizer.opt_state[0].mu["layers"][1]["bias"][...], moments["Dense_1"]["bias"]
    )
    np.testing.assert_array_equal(model.bn.mean[...], state.batch_stats["BatchNorm_0"]["mean"])


SHAPES_OF_VARIABLES = {
    "dict of collections": variables_of,
    "FrozenDict": lambda state: core.freeze(variables_of(state)),
    "TrainState(params=variables)": lambda state: state.replace(
        params=variables_of(state), opt_state=(), batch_stats=None
    ),
    "params and model_state": lambda state: {
        "params": state.params,
        "model_state": {"batch_stats": state.batch_stats},
    },
    "with the averages of both": lambda state: {
        "ema": jax.tree.map(lambda leaf: leaf + 1, variables_of(state)),
        **variables_of(state),
        "model_state_ema": {"batch_stats": jax.tree.map(lambda leaf: leaf + 2, state.batch_stats)},
    },
    "with intermediates": lambda state: {
        **variables_of(state),
        "intermediates": {"Conv_0": {"x": np.ones(3)}},
    },
}


@pytest.mark.parametrize("name", SHAPES_OF_VARIABLES)
def test_variables_are_found_whatever_holds_them(name, convert):
    state = states.cnn_state(steps=0)
    folder = convert(SHAPES_OF_VARIABLES[name](state), "cnn", model_only=True)
    model = restored_model(folder, new_models.cnn())
    np.testing.assert_array_equal(outputs(model), state.apply_fn(variables_of(state), IMAGES))


def test_bare_parameters(convert):
    state = states.mlp_state(new_models.OPTIMIZERS["sgd"]())
    model = restored_model(convert(state.params, "MLP"), new_models.MLP(rngs=nnx.Rngs(5)))
    np.testing.assert_array_equal(model(X), state.apply_fn({"params": state.params}, X))


def test_parameters_somewhere_in_a_larger_tree(convert):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"]())
    tree = {"config": {"lr": 0.1, "name": "x", "layers": [1, 2]}, "epoch": 4, "agent": {"learner": state}}
    folder = convert(tree, "mlp_with('adam')")
    loaded = restore(folder, None)
    assert loaded["config"] == {"lr": 0.1, "name": "x", "layers": [1, 2]} and loaded["epoch"] == 4
    learner = loaded["agent"]["learner"]
    np.testing.assert_array_equal(
        learner["model"]["hidden"]["bias"]["value"], state.params["Dense_0"]["bias"]
    )
    assert learner["optimizer"]["opt_state"]["0"]["count"]["value"] == 3


def test_ema_weights_and_keys_of_a_custom_state(convert):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"]())
    tree = {
        "step": state.step,
        "params": state.params,
        "opt_state": state.opt_state,
        "ema_params": states.perturbed(state.params, 1),
        "rng": jax.random.PRNGKey(3),
        "best": None,
    }
    folder = convert(tree, "mlp_with('adam')")
    model, optimizer = new_models.mlp_with("adam")
    target = {
        "model": nnx.state(model),
        "optimizer": nnx.state(optimizer),
        "ema_params": nnx.state(new_models.MLP(rngs=nnx.Rngs(1))),
        "rng": jax.random.PRNGKey(0),
        "best": None,
    }
    loaded = restore(folder, target)
    np.testing.assert_array_equal(loaded["rng"], jax.random.PRNGKey(3))
    nnx.update(model, loaded["ema_params"])
    np.testing.assert_array_equal(model(X), state.apply_fn({"params": tree["ema_params"]}, X))


def test_typed_keys_stay_typed(tmp_path, convert):
    state = states.mlp_state(new_models.OPTIMIZERS["sgd"]())
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "o", {"params": state.params, "rng": jax.random.key(7)})
    loaded = restore(convert(tmp_path / "o", "MLP"), None)
    assert jax.random.key_data(loaded["rng"]).tolist() == jax.random.key_data(jax.random.key(7)).tolist()


def test_actor_and_critic_in_one_tree_of_params(convert):
    actor, critic = (
        states.mlp_state(new_models.OPTIMIZERS["sgd"]()),
        states.mlp_state(new_models.OPTIMIZERS["sgd"](), steps=0, features=1, seed=5),
    )
    folder = convert({"params": {"actor": actor.params, "critic": critic.params}, "step": 3}, "actor_critic")
    models = new_models.actor_critic()
    target = {"model": {name: nnx.state(model) for name, model in models.items()}, "step": 0}
    loaded = restore(folder, target)
    for name, state in (("actor", actor), ("critic", critic)):
        nnx.update(models[name], loaded["model"][name])
        np.testing.assert_array_equal(models[name](X), state.apply_fn({"params": state.params}, X))


def test_actor_and_critic_with_states_of_their_own(convert):
    old = {
        "actor": states.mlp_state(new_models.OPTIMIZERS["adam"]()),
        "critic": states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=0, features=1, seed=5),
        "target_critic": states.mlp_state(
            new_models.OPTIMIZERS["adam"](), steps=0, features=1, seed=6
        ).params,
    }
    folder = convert(old, "actor_critic_states")
    new = new_models.actor_critic_states()
    target = {name: {"model": nnx.state(m), "optimizer": nnx.state(o)} for name, (m, o) in new.items()}
    target["target_critic"] = nnx.state(new["critic"][0])
    loaded = restore(folder, target)
    for name, (model, optimizer) in new.items():
        nnx.update(model, loaded[name]["model"])
        nnx.update(optimizer, loaded[name]["optimizer"])
        np.testing.assert_array_equal(model(X), old[name].apply_fn({"params": old[name].params}, X))
        assert optimizer.step[...] == old[name].step
    np.testing.assert_array_equal(
        loaded["target_critic"]["head"]["bias"][...], old["target_critic"]["head"]["bias"]
    )


@pytest.mark.parametrize(
    ("old", "new", "entries", "shape"),
    [
        ("Tower", "Loop", maps.SCANNED_TO_LIST, (2, 4)),
        ("Tower", "Tower", maps.SCANNED_TO_SCANNED, (2, 4)),
        ("Loop", "Tower", maps.LIST_TO_SCANNED, (2, 4)),
        ("Loop", "Loop", maps.SAME_LAYERS, (2, 4)),
        ("Recurrent", "Recurrent", maps.MODULES["new_models:Recurrent"], (2, 5, 3)),
    ],
)
def test_layers_that_are_stacked_split_or_fused(old, new, entries, shape, convert, write_map):
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    linen = getattr(old_models, old)()
    variables = states.perturbed(linen.init(jax.random.key(0), x))
    folder = convert(variables, new, map_file=write_map(**{new: entries}))
    model = restored_model(folder, getattr(new_models, new)(rngs=nnx.Rngs(1)))
    # XLA rounds in a loop, which it compiles as a whole, otherwise than operation by operation.
    np.testing.assert_allclose(model(x), linen.apply(variables, x), rtol=1e-5, atol=1e-6)


def test_metadata_boxes_are_opened(convert):
    """nn.Partitioned is saved as kernel/value."""
    linen = old_models.Partitioned()
    variables = states.perturbed(linen.init(jax.random.key(0), X))
    assert "params/Dense_0/kernel/value" in states.flat(variables)
    model = restored_model(convert(variables, "Partitioned"), new_models.Partitioned(rngs=nnx.Rngs(1)))
    np.testing.assert_array_equal(model.dense(X), linen.apply(variables, X))


def test_bfloat16_parameters(convert):
    state = states.cnn_state(steps=0, dtype=jnp.bfloat16)
    folder = convert(variables_of(state), "CNN(jnp.bfloat16, rngs=nnx.Rngs(0))")
    model = restored_model(folder, new_models.CNN(jnp.bfloat16, rngs=nnx.Rngs(1)))
    assert model.conv.kernel[...].dtype == jnp.bfloat16
    np.testing.assert_array_equal(model.conv.kernel[...], state.params["Conv_0"]["kernel"])


def test_other_precision_needs_a_decision(convert):
    state = states.cnn_state(steps=0, dtype=jnp.bfloat16)
    with pytest.raises(Exception, match="--cast") as raised:
        convert(variables_of(state), "cnn")
    assert "params/Conv_0/kernel is bfloat16, the model's conv/kernel float32" in str(raised.value)
    model = restored_model(convert(variables_of(state), "cnn", cast=True), new_models.cnn())
    np.testing.assert_array_equal(
        model.conv.kernel[...], state.params["Conv_0"]["kernel"].astype(jnp.float32)
    )


def test_replicated_states_lose_their_device_axis(convert):
    state = states.cnn_state(steps=0)
    replicated = jax.tree.map(lambda leaf: np.stack([leaf] * 4), state)
    folder = convert(replicated, "cnn_and_optimizer", unreplicate=True)
    model, optimizer = new_models.cnn_and_optimizer()
    loaded = restore(folder, {"model": nnx.state(model), "optimizer": nnx.state(optimizer)})
    nnx.update(model, loaded["model"])
    np.testing.assert_array_equal(outputs(model), state.apply_fn(variables_of(state), IMAGES))


def test_train_state_layout_keeps_the_fields(convert):
    """What functional code restores: a TrainState whose params are an NNX state."""
    state = states.cnn_state(steps=2)
    folder = convert(state, "cnn", layout="train-state")
    model = new_models.cnn()
    graphdef, params, batch_stats, rest = nnx.split(model, nnx.Param, nnx.BatchStat, ...)
    new = states.TrainState.create(
        apply_fn=graphdef.apply, params=params, batch_stats=batch_stats, tx=new_models.OPTIMIZERS["adam"]()
    )
    loaded = restore(folder, new)
    assert loaded.step == 2
    model = nnx.merge(graphdef, loaded.params, loaded.batch_stats, rest)
    np.testing.assert_array_equal(outputs(model), state.apply_fn(variables_of(state), IMAGES))
    np.testing.assert_array_equal(
        loaded.opt_state[0].nu["conv"]["kernel"][...], state.opt_state[0].nu["Conv_0"]["kernel"]
    )


@pytest.mark.parametrize("whole", [False, True], ids=["params", "variables"])
def test_functional_layout_is_what_functional_programs_restore(whole, convert):
    """Where `fix` keeps TrainState and apply, the trees keep their places; only the names below are new."""
    state = states.cnn_state(steps=1)
    if whole:
        tx = new_models.OPTIMIZERS["adam"]()
        state = state.replace(params={"params": state.params}, opt_state=tx.init({"params": state.params}))
        state = state.replace(opt_state=states.perturbed(state.opt_state))
    folder = convert(state, "cnn", layout="functional")
    model = Functional(new_models.CNN)
    variables = model.init(jax.random.key(3))
    params = {"params": variables["params"]} if whole else variables["params"]
    new = states.TrainState.create(
        apply_fn=model.apply,
        params=params,
        batch_stats=variables["batch_stats"],
        tx=new_models.OPTIMIZERS["adam"](),
    )
    loaded = restore(folder, new)
    assert loaded.step == 1
    params, old = (s.params["params"] if whole else s.params for s in (loaded, state))
    output = model.apply({"params": params, "batch_stats": loaded.batch_stats}, IMAGES)
    expected = state.apply_fn({"params": old, "batch_stats": state.batch_stats}, IMAGES)
    np.testing.assert_array_equal(output, expected)
    new_nu, old_nu = (s.opt_state[0].nu["params"] if whole else s.opt_state[0].nu for s in (loaded, state))
    np.testing.assert_array_equal(new_nu["layers"]["1"]["kernel"], old_nu["Dense_1"]["kernel"])


def test_functional_layout_of_variables_alone(convert):
    state = states.cnn_state(steps=0)
    model = Functional(new_models.CNN)
    loaded = restore(convert(variables_of(state), "cnn", layout="functional"), model.init(jax.random.key(3)))
    np.testing.assert_array_equal(model.apply(loaded, IMAGES), state.apply_fn(variables_of(state), IMAGES))


def test_pure_dict_layout(convert):
    state = states.cnn_state(steps=0)
    folder = convert(variables_of(state), "cnn", pure=True, rngs=False)
    loaded = nnx.restore_int_paths(restore(folder, None))
    model = new_models.cnn()
    nnx.update(model, loaded)
    np.testing.assert_array_equal(outputs(model), state.apply_fn(variables_of(state), IMAGES))


def test_checkpoint_manager_folder(convert):
    state = states.cnn_state(steps=0)
    folder = convert(variables_of(state), "cnn", step=12)
    model = new_models.cnn()
    with ocp.CheckpointManager(folder) as manager:
        assert manager.latest_step() == 12
        nnx.update(model, manager.restore(12, args=ocp.args.StandardRestore(nnx.state(model))))
    np.testing.assert_array_equal(outputs(model), state.apply_fn(variables_of(state), IMAGES))


def test_abstract_targets_restore_too(convert):
    """The recommended way: no second model is initialised."""
    state = states.cnn_state(steps=0)
    folder = convert(variables_of(state), "cnn")
    graphdef, abstract = nnx.split(nnx.eval_shape(new_models.cnn))
    model = nnx.merge(graphdef, restore(folder, abstract))
    np.testing.assert_array_equal(outputs(model), state.apply_fn(variables_of(state), IMAGES))


def test_prng_state_is_that_of_a_new_model(convert):
    folder = convert(variables_of(states.cnn_state(steps=0)), "cnn")
    loaded = restore(folder, nnx.state(new_models.CNN(rngs=nnx.Rngs(77))))
    stream = new_models.cnn().dropout.rngs
    assert jax.random.key_data(loaded["dropout"]["rngs"]["key"][...]).tolist() == (
        jax.random.key_data(stream.key[...]).tolist()
    )


def test_prng_state_can_be_left_out(convert):
    folder = convert(variables_of(states.cnn_state(steps=0)), "cnn", rngs=False)
    model = new_models.cnn()
    assert "dropout" not in restore(folder, None)
    nnx.update(model, restore(folder, nnx.state(model, nnx.Not(nnx.RngState))))


def test_leaves_can_be_dropped_and_made_fresh(convert):
    state = states.cnn_state(steps=0)
    folder = convert(variables_of(state), "cnn", drop=("params/Dense_1",), fresh=("layers/1",))
    model = restored_model(folder, new_models.CNN(rngs=nnx.Rngs(9)))
    np.testing.assert_array_equal(model.layers[0].kernel[...], state.params["Dense_0"]["kernel"])
    np.testing.assert_array_equal(model.layers[1].kernel[...], new_models.cnn().layers[1].kernel[...])
