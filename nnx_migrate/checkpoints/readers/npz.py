"""Reads numpy archives (`np.savez(file, **flat_params)`), one member at a time."""

from __future__ import annotations

import ast
import math
import pickle
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError, UnknownFormatError
from nnx_migrate.checkpoints.tree import ArrayLeaf, Checkpoint, Leaf, TreePath, dtype_named, flatten

_NEEDS_PICKLE = "Unpickling runs code from the file: pass --allow-pickle if you trust it."


def read(path: Path, *, allow_pickle: bool) -> Checkpoint:
    """Opens an .npz archive.

    Raises:
        TruncatedCheckpointError: the archive has no directory at its end.
        CheckpointError: it holds Python objects and `allow_pickle` is false.
        UnknownFormatError: a zip file, but not one of arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: _header(archive, info.filename) for info in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise TruncatedCheckpointError(f"{path} is truncated or no zip archive: {error}") from error
    names = [name.removesuffix(".npy") for name in members]
    objects = {name for name, (_, dtype) in zip(names, members.values(), strict=True) if dtype.hasobject}
    # One pickled tree (`np.savez(file, params)`) needs no name.
    paths = (
        {names[0]: ()} if len(names) == 1 and objects else dict(zip(names, split_names(names), strict=True))
    )
    loader = _Loader(path)
    leaves: dict[TreePath, Leaf] = {}
    for name, (shape, dtype) in zip(names, members.values(), strict=True):
        if name in objects:
            _checked(path, allow_pickle)
            with np.load(path, allow_pickle=True) as loaded:
                leaves.update(flatten(loaded[name].item(), paths[name]))
        else:
            leaves[paths[name]] = _member(loader, name, shape, dtype)
    return Checkpoint("npz", path, leaves)


def read_npy(path: Path, *, allow_pickle: bool) -> Checkpoint:
    """Opens an .npy file that holds a pickled dict (`np.save(file, params)`).

    Raises:
        TruncatedCheckpointError: the file ends early.
        CheckpointError: `allow_pickle` is false, or the file holds no tree.
    """
    _checked(path, allow_pickle)
    try:
        array = np.load(path, allow_pickle=True)
    except (EOFError, ValueError, pickle.UnpicklingError) as error:
        raise TruncatedCheckpointError(f"{path} is truncated or damaged: {error}") from error
    if array.dtype != object or array.shape:
        raise CheckpointError(f"{path} holds one array; a checkpoint needs names for its parameters.")
    return Checkpoint("npy", path, flatten(array.item()))


def split_names(names: list[str]) -> list[TreePath]:
    """Turns flat names into paths.

    They may be joined by "/" or "." (whichever the archive uses), or be the `str` of a tuple.

    Raises:
        CheckpointError: the names are the positions that `np.savez(file, *arrays)` gives.
    """
    if names and all(name.startswith("arr_") for name in names):
        raise CheckpointError(
            "The arrays have no names (arr_0, arr_1, ...), so nobody can tell which parameter each is.",
            hint="Save them again with `np.savez(file, **flax.traverse_util.flatten_dict(params, sep='/'))`.",
        )
    separator = "/" if any("/" in name for name in names) else "."
    return [_split(name, separator) for name in names]


def _split(name: str, separator: str) -> TreePath:
    if name.startswith("(") and name.endswith(")"):
        try:
            return tuple(str(part) for part in ast.literal_eval(name))
        except (ValueError, SyntaxError, TypeError):
            pass
    return tuple(part for part in name.split(separator) if part)


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if not member.endswith(".npy"):
        raise UnknownFormatError(f"The archive holds {member}, which is no numpy array.")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
    return shape, dtype


class _Loader:
    """Keeps the archive open between arrays: its directory is parsed once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def archive(self) -> Any:
        return np.load(self.path)

    def load(self, name: str) -> np.ndarray[Any, Any]:
        try:
            return np.asarray(self.archive[name])
        except (zipfile.BadZipFile, ValueError, EOFError, zlib.error) as error:
            raise TruncatedCheckpointError(f"{name} in {self.path} is damaged: {error}") from error


def _member(loader: _Loader, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArrayLeaf:
    # numpy stores bfloat16 as two bytes of no type.
    true_dtype = dtype_named("bfloat16") if dtype.kind == "V" and dtype.itemsize == 2 else dtype
    if true_dtype.kind == "V" and true_dtype is dtype:
        raise CheckpointError(f"{name} in {loader.path} has no usable dtype ({dtype}).")
    nbytes = math.prod(shape) * dtype.itemsize
    return ArrayLeaf(tuple(shape), true_dtype, lambda: loader.load(name).view(true_dtype), nbytes)


def _checked(path: Path, allow_pickle: bool) -> None:
    if not allow_pickle:
        raise CheckpointError(f"{path} holds pickled Python objects.", hint=_NEEDS_PICKLE)
