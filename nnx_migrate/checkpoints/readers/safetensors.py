"""Reads safetensors files: a JSON header (name -> dtype, shape, byte range), then the bytes.

Read here directly, so that the `safetensors` package need not be installed and leaves can stay on disk.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError
from nnx_migrate.checkpoints.readers import files
from nnx_migrate.checkpoints.readers.npz import split_names
from nnx_migrate.checkpoints.tree import Checkpoint, dtype_named

_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64",
    "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip


def read(path: Path) -> Checkpoint:
    """Opens a safetensors file.

    Raises:
        TruncatedCheckpointError: the file is shorter than its header says.
        CheckpointError: the header is damaged or names a dtype that JAX has not.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        raw_header = file.read(header_size) if header_size <= size else b""
    if len(raw_header) < header_size:
        raise TruncatedCheckpointError(f"{path} is truncated in the middle of its header.")
    try:
        header = json.loads(raw_header)
    except ValueError as error:
        raise CheckpointError(f"{path} has a damaged header: {error}") from error
    header.pop("__metadata__", None)
    leaves = {}
    for name, tree_path in zip(header, split_names(list(header)), strict=True):
        entry = header[name]
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(f"{name} in {path} has the dtype {entry['dtype']}, which JAX has not.")
        dtype, shape = dtype_named(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
        start, end = entry["data_offsets"]
        if end - start != math.prod(shape) * dtype.itemsize:
            raise CheckpointError(f"{path} is damaged: {name} has {end - start} bytes for {dtype}{shape}.")
        if 8 + header_size + end > size:
            raise TruncatedCheckpointError(f"{path} is truncated: {name} ends behind the end of the file.")
        leaves[tree_path] = files.array_at(path, 8 + header_size + start, shape, dtype)
    return Checkpoint("safetensors", path, dict(leaves))
