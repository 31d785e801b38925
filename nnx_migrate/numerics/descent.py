"""Optimizer steps over all parameters of a model as one vector for each dtype.

Adam and SGD treat every number by itself, so the vector ends where its parts would; and one small program,
compiled once for vectors of about its length, serves all models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import numpy as np
import optax

from nnx_migrate.numerics.inputs import Mode, Protocol
from nnx_migrate.numerics.map_patterns import Path

_Vectors = dict[str, Any]


class Descent:
    """The optimizer of a protocol at work on some parameters."""

    def __init__(self, protocol: Protocol, mode: Mode, params: Mapping[Path, Any]):
        self.params = dict(params)
        start, self._update = _optimizer(protocol.optimizer, protocol.learning_rate, mode)
        self._vectors = self._joined(params)
        self._moments = start(self._vectors)

    def step(self, gradients: Mapping[Path, Any]) -> None:
        """One update of `params`."""
        self._vectors, self._moments = self._update(self._vectors, self._joined(gradients), self._moments)
        self.params = self._parted(self._vectors)

    def _joined(self, leaves: Mapping[Path, Any]) -> _Vectors:
        parts: dict[str, list[np.ndarray]] = {}
        for path, value in self.params.items():
            parts.setdefault(str(value.dtype), []).append(np.asarray(leaves[path]).ravel())
        return {dtype: _padded(np.concatenate(arrays)) for dtype, arrays in parts.items()}

    def _parted(self, vectors: _Vectors) -> dict[Path, Any]:
        hosted = {dtype: np.asarray(vector) for dtype, vector in vectors.items()}
        taken = dict.fromkeys(hosted, 0)
        parted = {}
        for path, value in self.params.items():
            dtype = str(value.dtype)
            start, taken[dtype] = taken[dtype], taken[dtype] + math.prod(value.shape)
            parted[path] = jax.device_put(hosted[dtype][start : taken[dtype]].reshape(value.shape))
        return parted


@lru_cache
def _optimizer(name: str, learning_rate: float, mode: Mode) -> Any:
    optimizer = getattr(optax, name)(learning_rate)

    def update(vectors: _Vectors, gradients: _Vectors, moments: Any) -> Any:
        updates, moments = optimizer.update(gradients, moments, vectors)
        return optax.apply_updates(vectors, updates), moments

    return (jax.jit(optimizer.init), jax.jit(update)) if mode == "jit" else (optimizer.init, update)


def _padded(vector: np.ndarray) -> np.ndarray:
    """The vector with zeros up to the next power of two, which many models share."""
    length = 1 << max(6, (vector.size - 1).bit_length())
    return np.concatenate([vector, np.zeros(length - vector.size, vector.dtype)])
