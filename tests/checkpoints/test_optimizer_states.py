"""Training goes on after the conversion as if nothing had happened, whatever the optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization

from nnx_migrate.checkpoints.convert import plan_conversion
from nnx_migrate.checkpoints.errors import MappingError
from nnx_migrate.checkpoints.options import Options
from tests.checkpoints import states
from tests.checkpoints.states import new_models

NAMES = {"hidden": "Dense_0", "head": "head"}


def plan(tmp_path, write_map, project, tree, model, **choices):
    source = tmp_path / "source"
    source.write_bytes(serialization.to_bytes(tree))
    return plan_conversion(
        source, f"new_models:{model}", parameter_map=write_map(), folder=project, options=Options(**choices)
    )


def restored(folder, name):
    model, optimizer = new_models.mlp_with(name)
    target = {"model": nnx.state(model), "optimizer": nnx.state(optimizer)}
    with ocp.StandardCheckpointer() as checkpointer:
        loaded = checkpointer.restore(folder, target)
    nnx.update(model, loaded["model"])
    nnx.update(optimizer, loaded["optimizer"])
    return model, optimizer


TRAINED = (
    "momentum",
    "adam",
    "adamw-schedule-mask",
    "inject-schedule",
    "multi-steps",
    "multi-transform",
    "ema",
)


@pytest.mark.parametrize("name", TRAINED)
def test_training_goes_on(name, tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS[name](), steps=3)
    conversion = plan(tmp_path, write_map, project, state, f"mlp_with({name!r})")
    conversion.write(tmp_path / "converted")
    model, optimizer = restored(tmp_path / "converted", name)
    assert optimizer.step[...] == 3
    for _ in range(3):
        state = states.mlp_step(state)
        states.nnx_step(model, optimizer)
    for layer, old in NAMES.items():
        for leaf in ("kernel", "bias"):
            new = getattr(getattr(model, layer), leaf)[...]
            np.testing.assert_allclose(new, state.params[old][leaf], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", sorted(set(new_models.OPTIMIZER_NAMES) - {*TRAINED, "noisy"}))
def test_every_leaf_of_the_state_arrives(name, tmp_path, write_map, project):
    """The states that are not trained here: all leaves, by name, shape, dtype and value."""
    state = states.mlp_state(new_models.OPTIMIZERS[name](), steps=0)
    state = state.replace(opt_state=states.perturbed(state.opt_state, 1))
    plan(tmp_path, write_map, project, state, f"mlp_with({name!r})").write(tmp_path / "converted")
    _, optimizer = restored(tmp_path / "converted", name)
    old = {path: leaf for path, leaf in states.flat(state.opt_state).items() if leaf.dtype != object}
    renamed = {path.replace("Dense_0", "hidden"): leaf for path, leaf in old.items()}
    new = states.flat_nnx(optimizer)
    assert new.pop("step") == 0
    assert {path.removeprefix("opt_state/") for path in new} == set(renamed)
    for path, leaf in renamed.items():
        np.testing.assert_array_equal(new[f"opt_state/{path}"], leaf)
        assert new[f"opt_state/{path}"].dtype == leaf.dtype


@pytest.mark.parametrize("name", ["adamw-schedule-mask", "multi-transform", "inject-hyperparams", "ema"])
def test_the_optimizer_need_not_be_built(name, tmp_path, write_map, project):
    """A model alone tells enough to lay the state of any optimizer out."""
    state = states.mlp_state(new_models.OPTIMIZERS[name](), steps=1)
    plan(tmp_path, write_map, project, state, "MLP").write(tmp_path / "converted")
    _, optimizer = restored(tmp_path / "converted", name)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(optimizer))) == count + 1  # and the step


@pytest.mark.parametrize("typed", [True, False])
def test_keys_in_the_optimizer_state(typed, tmp_path, write_map, project):
    """Orbax keeps typed keys; older optax, and msgpack, had raw key data."""
    state = states.mlp_state(new_models.OPTIMIZERS["noisy"](), steps=2)
    if not typed:
        noise, *rest = state.opt_state
        raw = noise._replace(rng_key=jax.random.key_data(noise.rng_key))
        state = state.replace(opt_state=(raw, *rest))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "source", state)
    conversion = plan_conversion(
        tmp_path / "source", "new_models:mlp_with('noisy')", parameter_map=write_map(), folder=project
    )
    conversion.write(tmp_path / "converted")
    _, optimizer = restored(tmp_path / "converted", "noisy")
    key = optimizer.opt_state[0].rng_key[...]
    old = state.opt_state[0].rng_key
    assert jax.random.key_data(key).tolist() == (jax.random.key_data(old) if typed else old).tolist()


def test_a_different_optimizer_is_refused(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["momentum"](), steps=1)
    with pytest.raises(MappingError) as raised:
        plan(tmp_path, write_map, project, state, "mlp_with('adam')")
    assert "optimizer/opt_state/0/mu/hidden/kernel/value: the optimizer needs it" in str(raised.value)
    assert "optimizer/opt_state/0/trace/hidden/kernel/value: in the checkpoint, but not" in str(raised.value)
    conversion = plan(tmp_path, write_map, project, state, "mlp_with('adam')", model_only=True)
    assert not any("opt_state" in path for path in conversion.plan.arrays())


def test_moments_that_are_not_shaped_like_the_parameters_are_refused(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=1)
    broken = jax.tree.map(lambda leaf: leaf[..., :2] if leaf.ndim else leaf, state.opt_state)
    with pytest.raises(MappingError, match=r"mu/hidden/kernel/value: float32\(3, 2\) in the checkpoint"):
        plan(tmp_path, write_map, project, state.replace(opt_state=broken), "mlp_with('adam')")


def test_an_incomplete_copy_of_the_parameters_is_refused(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=1)
    renamed = {"trunk": state.opt_state[0].mu["Dense_0"], "head": state.opt_state[0].mu["head"]}
    tree = {"params": state.params, "opt_state": {"mu": {"old": {"Dense_0": renamed["trunk"], "extra": X}}}}
    with pytest.raises(MappingError, match=r"opt_state/mu/old: 2 leaves are named like parameters"):
        plan(tmp_path, write_map, project, tree, "MLP")


@pytest.mark.parametrize("name", ["adam", "multi-transform"])
def test_states_over_the_whole_dict_of_variables(name, tmp_path, write_map, project):
    """TrainState.create(params=model.init(...)): params and moments are dicts with the key `params`."""
    state = states.mlp_state(new_models.OPTIMIZERS[name](), steps=0)
    variables = {"params": state.params}
    tree = {"step": 4, "params": variables, "opt_state": new_models.OPTIMIZERS[name]().init(variables)}
    tree["opt_state"] = states.perturbed(tree["opt_state"])
    plan(tmp_path, write_map, project, tree, f"mlp_with({name!r})").write(tmp_path / "converted")
    model, optimizer = restored(tmp_path / "converted", name)
    assert optimizer.step[...] == 4
    np.testing.assert_array_equal(model.head.kernel[...], state.params["head"]["kernel"])
    moments = {
        path: leaf for path, leaf in states.flat(tree["opt_state"]).items() if path.endswith("head/kernel")
    }
    new = states.flat_nnx(optimizer)
    for path, leaf in moments.items():
        if leaf.dtype != object:
            np.testing.assert_array_equal(new[f"opt_state/{path.replace('params/', '')}"], leaf)


X = np.ones((2, 2), np.float32)


def test_an_optimizer_over_a_part_of_the_parameters(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["sgd"](), steps=1)
    head = {"head": state.params["head"]}
    tree = {"params": state.params, "opt_state": optax.adam(1e-2).init(head), "step": 5}
    conversion = plan(tmp_path, write_map, project, tree, "MLP")
    paths = {"/".join(path) for path in conversion.plan.arrays()}
    assert "optimizer/opt_state/0/mu/head/kernel/value" in paths
    assert not any("mu/hidden" in path for path in paths)
    assert any("mirrors 2 of 4 variables" in note for note in conversion.plan.notes)


def test_a_missing_step_is_the_optimizers_count(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=3)
    tree = {"params": state.params, "opt_state": state.opt_state}
    conversion = plan(tmp_path, write_map, project, tree, "mlp_with('adam')")
    conversion.write(tmp_path / "converted")
    assert restored(tmp_path / "converted", "adam")[1].step[...] == 3


def test_scalars_named_like_parameters_are_no_parameters(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["sgd"](), steps=0)
    tree = {"params": state.params, "loss_scale": {"head": jnp.float32(2.0)}, "kernel": np.ones(3)}
    conversion = plan(tmp_path, write_map, project, tree, "MLP")
    assert ("loss_scale", "head") in conversion.plan.arrays()
    assert ("kernel",) in conversion.plan.arrays()


def flax_optim_adam(state):
    """What `flax.optim.Adam` (Flax 0.5) saved for the same training."""
    adam = state.opt_state[0]
    param_states = jax.tree.map(lambda mu, nu: {"grad_ema": mu, "grad_sq_ema": nu}, adam.mu, adam.nu)
    return {"target": state.params, "state": {"step": adam.count, "param_states": param_states}}


@pytest.mark.parametrize("name", [None, "optimizer"])
def test_optimizers_of_flax_optim(name, tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=3)
    old = flax_optim_adam(state)
    tree = old if name is None else {name: old, "best_accuracy": 0.5}
    conversion = plan(tmp_path, write_map, project, tree, "mlp_with('adam')")
    conversion.write(tmp_path / "converted")
    if name is None:
        model, optimizer = restored(tmp_path / "converted", "adam")
        state = states.mlp_step(state)
        states.nnx_step(model, optimizer)
        np.testing.assert_allclose(model.head.kernel[...], state.params["head"]["kernel"], rtol=1e-6)
        assert optimizer.step[...] == 4
    else:
        assert conversion.plan.values[("best_accuracy",)] == 0.5
        assert ("optimizer", "opt_state", "0", "mu", "head", "kernel", "value") in conversion.plan.arrays()


def test_optimizers_of_flax_optim_without_a_twin(tmp_path, write_map, project):
    params = states.mlp_state(new_models.OPTIMIZERS["sgd"](), steps=0).params
    param_states = jax.tree.map(lambda leaf: {"v_row": leaf, "v_col": leaf}, params)
    tree = {"target": params, "state": {"step": 1, "param_states": param_states}}
    with pytest.raises(MappingError, match="--model-only"):
        plan(tmp_path, write_map, project, tree, "MLP")
    conversion = plan(tmp_path, write_map, project, tree, "MLP", model_only=True)
    assert len(conversion.plan.arrays()) == 4
