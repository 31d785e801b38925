"""Arrays that TensorStore keeps: opened together, read one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError
from nnx_migrate.checkpoints.tree import ArrayLeaf

JsonSpec = dict[str, Any]


def zarr_spec(folder: Path) -> JsonSpec:
    """The spec of an array in a folder of its own."""
    return {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder}/"}}


def open_zarr(folder: Path, label: str) -> ArrayLeaf:
    """Opens one array in a folder of its own, for reading."""
    return open_all({label: zarr_spec(folder)})[label]


def open_all(specs: Mapping[str, JsonSpec]) -> dict[str, ArrayLeaf]:
    """Opens many arrays at once; their values stay on disk.

    Args:
        specs: TensorStore spec by the name that error messages show.

    Raises:
        TruncatedCheckpointError: an array's metadata is missing or damaged.
    """
    import tensorstore as ts

    # A context for each checkpoint, as folders may be replaced while this process lives. No cache for array
    # data (each leaf is read once), a small one for OCDBT's B-tree nodes.
    context = ts.Context(
        {"cache_pool": {"total_bytes_limit": 0}, "cache_pool#ocdbt": {"total_bytes_limit": 100_000_000}}
    )
    pending = {
        name: ts.open(
            {**spec, "recheck_cached_data": False, "recheck_cached_metadata": False},
            open=True,
            read=True,
            context=context,
        )
        for name, spec in specs.items()
    }
    leaves = {}
    for name, future in pending.items():
        try:
            leaves[name] = _leaf(name, future.result())
        except ValueError as error:
            raise _damaged(name, error) from error
    return leaves


def _leaf(name: str, store: Any) -> ArrayLeaf:
    shape = tuple(store.shape)
    dtype = store.dtype.numpy_dtype
    chunk = store.chunk_layout.read_chunk.shape
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    # A chunk is decoded beside the result; at most one per array when it is read alone.
    chunk_bytes = int(np.prod(chunk or (1,), dtype=np.int64)) * dtype.itemsize

    def read() -> np.ndarray[Any, Any]:
        try:
            return np.asarray(store.read().result())
        except ValueError as error:
            raise _damaged(name, error) from error

    return ArrayLeaf(shape, dtype, read, nbytes + min(chunk_bytes, nbytes))


def _damaged(name: str, error: ValueError) -> CheckpointError:
    reason = str(error).split("[", 1)[0].strip().rstrip(":").splitlines()[0]
    return TruncatedCheckpointError(
        f"The array {name} can't be read: files of the checkpoint are missing or damaged ({reason}).",
        hint="Copy the checkpoint again with all its files, or use an older one.",
    )
