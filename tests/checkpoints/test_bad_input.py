"""Truncated, foreign and ambiguous checkpoints end in a message that says what to do."""

import contextlib
import io
import json
import pathlib
import pickle
import shutil
import zipfile

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization

from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError, UnknownFormatError

TREE = {
    "params": {"a": {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.zeros(3)}, "scale": np.float32(1)}
}
MSGPACK = serialization.to_bytes(TREE)


def read_all(path, **options):
    checkpoint = open_checkpoint(path, **options)
    return [leaf.read() for leaf in checkpoint.arrays().values()]


def npz():
    file = io.BytesIO()
    np.savez(file, **{"params/a/kernel": TREE["params"]["a"]["kernel"]})
    return file.getvalue()


def safetensors():
    header = json.dumps({"a.kernel": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


def npy():
    file = io.BytesIO()
    np.save(file, TREE)
    return file.getvalue()


@pytest.mark.parametrize("length", range(len(MSGPACK)))
def test_msgpack_cut_anywhere_is_called_truncated(length, tmp_path):
    file = tmp_path / "m"
    file.write_bytes(MSGPACK[:length])
    with pytest.raises(TruncatedCheckpointError, match=r"truncated|empty"):
        open_checkpoint(file)


@pytest.mark.parametrize(
    "content", [npz(), safetensors(), npy(), pickle.dumps(TREE)], ids=["npz", "st", "npy", "pkl"]
)
def test_other_formats_cut_anywhere_end_in_a_message(content, tmp_path):
    file = tmp_path / "c"
    for length in range(0, len(content) - 1, 7):
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_all(file, allow_pickle=True)


def test_flipped_bytes_never_end_in_a_traceback(tmp_path):
    random = np.random.default_rng(0)
    file = tmp_path / "m"
    for _ in range(300):
        damaged = bytearray(MSGPACK)
        damaged[random.integers(len(damaged))] = random.integers(256)
        file.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_all(file)


def torch_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"\x1f\x8b\x08" + bytes(64), "unpack"),
        (b"%PDF-1.7\n", "known format"),
        (b"hello: world\n", "known format"),
        (torch_file(), "no numpy array"),
    ],
)
def test_foreign_files_are_named(content, what, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(content)
    with pytest.raises(UnknownFormatError, match=what):
        open_checkpoint(file)


def test_msgpack_that_is_not_flax(tmp_path):
    import msgpack

    for content in (msgpack.packb({"a": msgpack.ExtType(5, b"abc")}), msgpack.packb({"a": 1}) + b"rest"):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(CheckpointError, match="no Flax checkpoint"):
            open_checkpoint(tmp_path / "m")


class Unimportable:
    """Stands for a class of a project that is not here."""


def test_pickles_need_consent_and_their_classes(tmp_path, monkeypatch):
    file = tmp_path / "p.pkl"
    file.write_bytes(pickle.dumps(TREE))
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        open_checkpoint(file)
    content = pickle.dumps({"params": Unimportable()})
    monkeypatch.delattr(f"{__name__}.Unimportable")
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="own environment"):
        open_checkpoint(file, allow_pickle=True)


def test_pickles_inside_numpy_files_need_consent_too(tmp_path):
    np.savez(tmp_path / "a.npz", TREE)
    np.save(tmp_path / "a.npy", TREE)
    for name in ("a.npz", "a.npy"):
        with pytest.raises(CheckpointError, match="--allow-pickle"):
            open_checkpoint(tmp_path / name)


def test_unnamed_arrays_can_not_be_mapped(tmp_path):
    np.savez(tmp_path / "a.npz", np.ones(2), np.ones(3))
    with pytest.raises(CheckpointError, match="flatten_dict"):
        open_checkpoint(tmp_path / "a.npz")


@pytest.fixture
def orbax_folder(tmp_path):
    folder = tmp_path / "orbax"
    large = np.random.default_rng(0).standard_normal(5000)  # small arrays lie in the manifest's own tree
    ocp.PyTreeCheckpointer().save(folder, {"params": {"w": large}})
    return folder


@pytest.mark.parametrize("lost", ["manifest.ocdbt", "ocdbt.process_0", "d"])
def test_orbax_folders_with_lost_files(lost, orbax_folder):
    gone = orbax_folder / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(TruncatedCheckpointError):
        read_all(orbax_folder)


def test_orbax_folder_with_shortened_data(orbax_folder):
    data = max(orbax_folder.glob("ocdbt.process_0/d/*"), key=lambda file: file.stat().st_size)
    data.write_bytes(data.read_bytes()[:10])
    with pytest.raises(TruncatedCheckpointError, match="Copy the checkpoint again"):
        read_all(orbax_folder)


def test_orbax_folder_with_damaged_metadata(orbax_folder):
    metadata = orbax_folder / "_METADATA"
    metadata.write_bytes(metadata.read_bytes()[:-20])
    with pytest.raises(TruncatedCheckpointError, match="_METADATA"):
        open_checkpoint(orbax_folder)


def test_saves_that_never_finished(tmp_path, orbax_folder):
    (tmp_path / "run").mkdir()
    shutil.move(orbax_folder, tmp_path / "run" / "3.orbax-checkpoint-tmp")
    with pytest.raises(TruncatedCheckpointError, match="never finished"):
        open_checkpoint(tmp_path / "run")


def test_folders_that_are_no_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="empty folder"):
        open_checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-1"\n')
    (tmp_path / "model-1.index").write_bytes(b"x")
    with pytest.raises(UnknownFormatError, match="TensorFlow"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="no file or folder"):
        open_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("place", ["gs://bucket/run/3", "s3://bucket/x"])
def test_remote_places_are_named(place):
    with pytest.raises(CheckpointError, match="not on this machine"):
        open_checkpoint(pathlib.Path(place))


def test_steps_are_numbers_not_names(tmp_path):
    for step in (2, 10, -1):
        tree = {"params": {"w": np.full(2, step)}}
        (tmp_path / f"checkpoint_{step}").write_bytes(serialization.to_bytes(tree))
    (tmp_path / "checkpoint_tmp").write_bytes(b"garbage")
    latest = open_checkpoint(tmp_path)
    assert latest.leaves[("params", "w")].read().tolist() == [10, 10]
    assert "took the latest, 10" in latest.notes[0]
    assert open_checkpoint(tmp_path, step=-1).leaves[("params", "w")].read().tolist() == [-1, -1]
    with pytest.raises(CheckpointError, match="no step 3"):
        open_checkpoint(tmp_path, step=3)
    with pytest.raises(CheckpointError, match="no step to choose"):
        open_checkpoint(tmp_path / "checkpoint_2", step=2)


def test_several_items_need_a_choice(tmp_path):
    args = ocp.args.Composite(
        params=ocp.args.StandardSave({"w": np.ones(2)}), ema=ocp.args.StandardSave({"w": np.zeros(2)})
    )
    ocp.Checkpointer(ocp.CompositeCheckpointHandler()).save(tmp_path / "c", args=args)
    with pytest.raises(CheckpointError, match="--item"):
        open_checkpoint(tmp_path / "c")
    assert open_checkpoint(tmp_path / "c", item="ema").leaves[("w",)].read().tolist() == [0, 0]
    with pytest.raises(CheckpointError, match="no item 'x'"):
        open_checkpoint(tmp_path / "c", item="x")


def test_steps_of_several_checkpoints_need_a_choice(tmp_path):
    for name in ("actor_1", "critic_1"):
        (tmp_path / name).write_bytes(MSGPACK)
    with pytest.raises(CheckpointError, match="several checkpoints"):
        open_checkpoint(tmp_path)


def test_a_hub_folder_with_one_checkpoint_file(tmp_path):
    (tmp_path / "flax_model.msgpack").write_bytes(MSGPACK)
    (tmp_path / "config.json").write_text("{}")
    assert ("params", "a", "bias") in open_checkpoint(tmp_path).leaves
