"""Arrays that lie in a file as plain bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.errors import TruncatedCheckpointError
from nnx_migrate.checkpoints.tree import ArrayLeaf


def array_at(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArrayLeaf:
    """The array whose bytes lie in `path` from `offset` on, in row-major order."""
    size = math.prod(shape) * dtype.itemsize

    def read() -> np.ndarray[Any, Any]:
        values = np.empty(size, np.uint8)
        with path.open("rb") as file:
            file.seek(offset)
            if file.readinto(values.data) != size:
                raise TruncatedCheckpointError(f"{path} was cut short while it was being read.")
        return values.view(dtype).reshape(shape)

    return ArrayLeaf(shape, dtype, read, size)
