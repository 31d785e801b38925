"""Finds out what a file or folder is, chooses the step, and opens it with the right reader."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError, UnknownFormatError
from nnx_migrate.checkpoints.readers import msgpack, npz, orbax, pickled, safetensors
from nnx_migrate.checkpoints.tree import Checkpoint

SUPPORTED = (
    "Read are: msgpack files (flax.training.checkpoints, flax.serialization.to_bytes), Orbax folders"
    " (PyTree, Standard, Composite, CheckpointManager), .npz, .safetensors, and pickles with --allow-pickle."
)
#: A step's file or folder: `3`, `checkpoint_3`, `checkpoint_-1.5`, `step=7`.
_STEP = re.compile(r"^(?P<prefix>.*?)(?P<step>-?\d+(\.\d+)?)$")
#: Leftovers of a save that never finished: Orbax's temporary folders, flax's `checkpoint_tmp`.
_UNFINISHED = re.compile(r"orbax-checkpoint-tmp|^tmp_?|_?tmp$")
_FOREIGN_MAGIC = (
    (b"\x89HDF", "an HDF5 (Keras) file"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
)


def open_checkpoint(
    path: Path, *, step: float | None = None, item: str | None = None, allow_pickle: bool = False
) -> Checkpoint:
    """Opens a checkpoint of any supported format; array values stay on disk.

    Args:
        path: a file, or a folder: one checkpoint, a folder of steps, or several items.
        step: which step of a folder of steps; the latest by default.
        item: which item of a composite checkpoint, where there are several trees.
        allow_pickle: whether pickled files may be loaded (that runs code from the file).

    Raises:
        CheckpointError: with what is wrong and what to do; see its subclasses.
    """
    if path.parts and path.parts[0] in ("gs:", "s3:", "http:", "https:"):
        raise CheckpointError(
            f"{path} is not on this machine.", hint="Copy the checkpoint to a local folder first."
        )
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  resolves "..", but no symlinks
    if not path.exists():
        raise CheckpointError(f"There is no file or folder {path}.")
    if path.is_file():
        if step is not None:
            raise CheckpointError(f"{path} is one file, so there is no step to choose.")
        return _open_file(path, allow_pickle)
    return _open_folder(path, step, item, allow_pickle)


def _open_file(path: Path, allow_pickle: bool) -> Checkpoint:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise TruncatedCheckpointError(f"{path} is empty.", hint="Copy it again, or use an older checkpoint.")
    for magic, what in _FOREIGN_MAGIC:
        if head.startswith(magic):
            raise UnknownFormatError(f"{path} is {what}.", hint=SUPPORTED)
    if head.startswith(b"PK\x03\x04"):
        return npz.read(path, allow_pickle=allow_pickle)
    if head.startswith(b"\x93NUMPY"):
        return npz.read_npy(path, allow_pickle=allow_pickle)
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return pickled.read(path, allow_pickle=allow_pickle)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return safetensors.read(path)
    if 0x80 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF):
        return msgpack.read(path)
    raise UnknownFormatError(f"{path} is no checkpoint of a known format.", hint=SUPPORTED)


def _open_folder(folder: Path, step: float | None, item: str | None, allow_pickle: bool) -> Checkpoint:
    if orbax.is_item(folder) and step is None:
        return orbax.read(folder)
    steps = _steps(folder)
    if steps and not any(orbax.is_item(child) for child in folder.iterdir() if child not in steps.values()):
        chosen = _choose_step(folder, steps, step)
        checkpoint = (
            _open_file(steps[chosen], allow_pickle)
            if steps[chosen].is_file()
            else _open_folder(steps[chosen], None, item, allow_pickle)
        )
        if step is None and len(steps) > 1:
            names = ", ".join(f"{number:g}" for number in sorted(steps))
            checkpoint.notes.insert(0, f"{folder} holds the steps {names}; took the latest, {chosen:g}.")
        return checkpoint
    if step is not None:
        raise CheckpointError(f"{folder} is no folder of steps, so there is no step to choose.")
    items = {child.name: child for child in sorted(folder.iterdir()) if _is_finished_item(child)}
    if items:
        return _choose_item(folder, items, item)
    return _open_only_file(folder, allow_pickle)


def _steps(folder: Path) -> dict[float, Path]:
    """The finished steps in a folder, by number."""
    found: dict[str, dict[float, Path]] = {}
    for child in folder.iterdir():
        match = _STEP.match(child.name)
        if match is None or _UNFINISHED.search(child.name) or child.name.startswith((".", "_")):
            continue
        if child.is_dir() and not _holds_checkpoint(child):
            continue
        if child.is_file() and child.suffix in (".npz", ".pkl", ".msgpack"):
            continue
        found.setdefault(match["prefix"], {})[float(match["step"])] = child
    if len(found) > 1:
        raise CheckpointError(
            f"{folder} holds the steps of several checkpoints: {', '.join(sorted(found))}.",
            hint="Give the path of one step's file or folder.",
        )
    return next(iter(found.values()), {})


def _holds_checkpoint(folder: Path) -> bool:
    return orbax.is_item(folder) or any(_is_finished_item(child) for child in folder.iterdir())


def _is_finished_item(folder: Path) -> bool:
    return folder.is_dir() and not _UNFINISHED.search(folder.name) and orbax.is_item(folder)


def _choose_step(folder: Path, steps: dict[float, Path], step: float | None) -> float:
    if step is None:
        return max(steps)
    if step not in steps:
        names = ", ".join(f"{number:g}" for number in sorted(steps))
        raise CheckpointError(f"{folder} has no step {step:g}.", hint=f"It has: {names}.")
    return step


def _choose_item(folder: Path, items: dict[str, Path], item: str | None) -> Checkpoint:
    names = ", ".join(items)
    if item is None and len(items) > 1:
        raise CheckpointError(f"{folder} holds several trees: {names}.", hint="Choose one with --item.")
    if item is not None and item not in items:
        raise CheckpointError(f"{folder} has no item {item!r}.", hint=f"It has: {names}.")
    return orbax.read(items[item] if item is not None else next(iter(items.values())))


def _open_only_file(folder: Path, allow_pickle: bool) -> Checkpoint:
    """A folder with one checkpoint file, as model hubs have them (`flax_model.msgpack`, `config.json`)."""
    children = sorted(folder.iterdir())
    files = [child for child in children if child.suffix in (".msgpack", ".npz", ".safetensors")]
    if len(files) == 1:
        return _open_file(files[0], allow_pickle)
    if files:
        raise CheckpointError(
            f"{folder} holds several files: {', '.join(f.name for f in files)}.", hint="Name one."
        )
    if any(_UNFINISHED.search(child.name) for child in children):
        raise TruncatedCheckpointError(
            f"{folder} holds only a save that never finished (a temporary folder).",
            hint="Use an older checkpoint.",
        )
    if any(child.suffix == ".index" for child in children) or (folder / "saved_model.pb").exists():
        raise UnknownFormatError(f"{folder} is a TensorFlow checkpoint.", hint=SUPPORTED)
    if not children:
        raise CheckpointError(f"{folder} is an empty folder.")
    raise UnknownFormatError(f"{folder} is no checkpoint of a known format.", hint=SUPPORTED)
