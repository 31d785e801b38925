"""Every format is read leaf by leaf as it was written."""

import json
import pickle

import flax
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization, traverse_util
from flax.training import checkpoints
from orbax.checkpoint import v1

from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.tree import ArrayLeaf, Literal, dtype_named
from tests.checkpoints import states

TREE = {
    "step": 7,
    "params": {
        "dense": {"kernel": np.arange(12.0, dtype=np.float32).reshape(3, 4), "bias": np.ones(4, np.float32)},
        "half": {"kernel": np.asarray([1.5, -2.0], dtype_named("bfloat16"))},
        "scalar": np.float32(2.5),
        "flags": np.asarray([True, False]),
    },
    "ints": np.arange(-2, 3),
    "bytes": np.arange(6, dtype=np.int8),
}


def save_orbax(handler):
    return lambda path: ocp.Checkpointer(handler).save(path, TREE)


def save_standard(path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, TREE)


def save_composite(path):
    args = ocp.args.Composite(state=ocp.args.StandardSave(TREE), config=ocp.args.JsonSave({"a": 1}))
    ocp.Checkpointer(ocp.CompositeCheckpointHandler()).save(path, args=args)


def save_manager(path):
    with ocp.CheckpointManager(path) as manager:
        for step in (1, 5):
            manager.save(step, args=ocp.args.StandardSave({**TREE, "step": step}))


def save_flax_msgpack(path):
    flax.config.update("flax_use_orbax_checkpointing", False)
    try:
        checkpoints.save_checkpoint(path, TREE, 7)
    finally:
        flax.config.update("flax_use_orbax_checkpointing", True)


def flat_arrays(tree, separator):
    flat = traverse_util.flatten_dict(tree, sep=separator)
    return {name: np.asarray(value) for name, value in flat.items()}


def save_safetensors(path):
    names = {"float32": "F32", "bfloat16": "BF16", "int8": "I8", "bool": "BOOL", "int64": "I64"}
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, array in flat_arrays(TREE, ".").items():
        end = len(data) + array.nbytes
        header[name] = {
            "dtype": names[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [len(data), end],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


SAVERS = {
    "msgpack": lambda path: path.write_bytes(serialization.to_bytes(TREE)),
    "flax.training msgpack": save_flax_msgpack,
    "flax.training Orbax": lambda path: checkpoints.save_checkpoint(path, TREE, 7),
    "PyTree": save_orbax(ocp.PyTreeCheckpointHandler()),
    "PyTree, one folder per array": save_orbax(ocp.PyTreeCheckpointHandler(use_ocdbt=False)),
    "PyTree, zarr3": save_orbax(ocp.PyTreeCheckpointHandler(use_zarr3=True)),
    "Standard": save_standard,
    "Composite": save_composite,
    "CheckpointManager": save_manager,
    "Orbax v1": lambda path: v1.save(path, jax.tree.map(np.asarray, TREE)),
    "npz with slashes": lambda path: np.savez(path.with_suffix(".npz"), **flat_arrays(TREE, "/")),
    "npz with dots, compressed": lambda path: np.savez_compressed(
        path.with_suffix(".npz"), **flat_arrays(TREE, ".")
    ),
    "npz with tuples": lambda path: np.savez(
        path.with_suffix(".npz"),
        **{str(key): value for key, value in traverse_util.flatten_dict(TREE).items()},
    ),
    "npz with an object": lambda path: np.savez(path.with_suffix(".npz"), TREE),
    "npy": lambda path: np.save(path.with_suffix(".npy"), TREE),
    "safetensors": save_safetensors,
    "pickle": lambda path: path.write_bytes(pickle.dumps(TREE)),
    "pickle of FrozenDict": lambda path: path.write_bytes(pickle.dumps(flax.core.freeze(TREE))),
}


def saved(tmp_path, saver):
    path = tmp_path / "checkpoint"
    saver(path)
    return next(file for file in tmp_path.iterdir() if file.name.startswith("checkpoint"))


def value_of(leaf):
    return leaf.value if isinstance(leaf, Literal) else leaf.read()


@pytest.mark.parametrize("name", SAVERS)
def test_every_leaf_is_read_as_written(name, tmp_path):
    checkpoint = open_checkpoint(saved(tmp_path, SAVERS[name]), allow_pickle=True)
    expected = dict(traverse_util.flatten_dict(TREE))
    expected[("step",)] = 5 if name == "CheckpointManager" else 7
    assert set(checkpoint.leaves) == set(expected)
    for path, wanted in expected.items():
        leaf = checkpoint.leaves[path]
        value = np.asarray(value_of(leaf))
        np.testing.assert_array_equal(value, np.asarray(wanted))
        if isinstance(leaf, ArrayLeaf):
            assert (leaf.shape, leaf.dtype) == (value.shape, value.dtype)
            if isinstance(wanted, np.ndarray) and jnp.asarray(wanted).dtype == wanted.dtype:
                assert value.dtype == wanted.dtype, path


def test_bfloat16_survives_in_every_format(tmp_path):
    for number, name in enumerate(SAVERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        leaf = open_checkpoint(saved(folder, SAVERS[name]), allow_pickle=True).leaves[
            ("params", "half", "kernel")
        ]
        assert (leaf.dtype.name, leaf.read().tolist()) == ("bfloat16", [1.5, -2.0]), name


def test_a_train_state_keeps_its_optimizer_and_its_empty_places(tmp_path):
    state = states.mlp_state(states.new_models.OPTIMIZERS["multi-transform"](), steps=1)
    (tmp_path / "m").write_bytes(serialization.to_bytes(state))
    (tmp_path / "p").write_bytes(pickle.dumps(jax.device_get(state.params)))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "o", state)
    msgpack, orbax = open_checkpoint(tmp_path / "m"), open_checkpoint(tmp_path / "o")
    assert set(msgpack.leaves) == set(orbax.leaves)
    assert set(msgpack.arrays()) == set(orbax.arrays())
    expected = states.flat(state)
    for path, leaf in msgpack.arrays().items():
        np.testing.assert_array_equal(leaf.read(), expected["/".join(path)])
        np.testing.assert_array_equal(orbax.arrays()[path].read(), expected["/".join(path)])


def test_large_arrays_that_flax_splits_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 40)
    array = np.arange(150, dtype=np.float32).reshape(2, 75)
    file = tmp_path / "m"
    file.write_bytes(serialization.msgpack_serialize({"params": {"w": array, "b": np.ones(2)}}))
    leaf = open_checkpoint(file).leaves[("params", "w")]
    np.testing.assert_array_equal(leaf.read(), array)


def test_typed_keys_are_recognised(tmp_path):
    key = jax.random.key(3)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "o", {"rng": key, "raw": jax.random.PRNGKey(3)})
    leaves = open_checkpoint(tmp_path / "o").leaves
    assert leaves[("rng",)].key_impl == "threefry2x32"
    assert leaves[("raw",)].key_impl is None
    np.testing.assert_array_equal(leaves[("rng",)].read(), jax.random.key_data(key))


def test_aggregate_folders_of_old_orbax(tmp_path):
    """Orbax 0.2 wrote small trees into one msgpack file, large leaves into folders beside it."""
    folder = tmp_path / "old"
    ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)).save(
        folder, {"params": {"w": np.arange(6.0)}}
    )
    (folder / "_METADATA").unlink()
    tree = {"params": {"w": "PLACEHOLDER://params.w", "b": np.ones(2)}, "opt_state": [{"count": 3}, None]}
    (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(tree))
    leaves = open_checkpoint(folder).leaves
    np.testing.assert_array_equal(leaves[("params", "w")].read(), np.arange(6.0))
    np.testing.assert_array_equal(leaves[("params", "b")].read(), np.ones(2))
    assert leaves[("opt_state", "0", "count")] == Literal(3)


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    file = tmp_path / "m"
    file.write_bytes(serialization.to_bytes(TREE))
    checkpoint = open_checkpoint(file)
    file.write_bytes(b"")
    with pytest.raises(Exception, match="cut short"):
        checkpoint.leaves[("ints",)].read()
