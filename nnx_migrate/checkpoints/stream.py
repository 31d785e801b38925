"""Moves arrays from a checkpoint into Orbax, a few at a time.

Orbax writes a tree by handing the leaves of each type to a `TypeHandler`. The leaves here are `Pending`: they
know which move makes them, and are read only when there is room for them.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from orbax.checkpoint import type_handlers

from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.checkpoints.memory import ByteBudget, return_freed_memory
from nnx_migrate.checkpoints.plan import Move
from nnx_migrate.checkpoints.tree import ArrayLeaf, Leaf, TreePath, show_path
from nnx_migrate.numerics.leaf_transforms import IDENTITY, TransformError

#: Small leaves are moved side by side up to this many bytes; a larger leaf is moved alone.
WINDOW = 128 * 2**20

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Pending:
    """An array of the converted checkpoint that doesn't exist yet."""

    move: Move
    index: int  # among the destinations of the move

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that it will have."""
        return self.move.destinations[self.index].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that it will have."""
        return self.move.destinations[self.index].dtype


class StreamingHandler(type_handlers.TypeHandler):  # type: ignore[misc]
    """Writes `Pending` leaves; they are read back as what they are, plain arrays."""

    def __init__(self, leaves: Mapping[TreePath, Leaf], progress: Progress) -> None:
        self._leaves, self._progress = leaves, progress
        self._arrays = type_handlers.NumpyHandler(deepcopy_host_arrays=False)

    def typestr(self) -> str:
        """The recorded type: restoring needs neither this tool nor the devices of whoever saved."""
        return str(self._arrays.typestr())

    async def metadata(self, infos: Sequence[Any]) -> Sequence[Any]:
        """As for arrays."""
        return await self._arrays.metadata(infos)  # type: ignore[no-any-return]

    async def deserialize(self, infos: Sequence[Any], args: Sequence[Any] | None = None) -> Sequence[Any]:
        """As for arrays."""
        return await self._arrays.deserialize(infos, args)  # type: ignore[no-any-return]

    async def serialize(
        self, values: Sequence[Pending], infos: Sequence[Any], args: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        """Runs every move and writes what it makes, within twice the largest leaf plus `WINDOW`."""
        by_move: dict[int, list[tuple[Pending, Any, Any]]] = defaultdict(list)
        for value, info, arg in zip(
            values, infos, args or [type_handlers.SaveArgs()] * len(values), strict=True
        ):
            by_move[id(value.move)].append((value, info, arg))
        groups = list(by_move.values())
        budget = ByteBudget(max(WINDOW, *(memory_of(group[0][0].move, self._leaves) for group in groups)))
        failures: list[BaseException] = []
        await asyncio.gather(*(self._run(group, budget, failures) for group in groups))
        if failures:
            raise failures[0]
        return []

    async def _run(
        self, group: list[tuple[Pending, Any, Any]], budget: ByteBudget, failures: list[BaseException]
    ) -> None:
        """One move; none starts after a failure, and those under way end.

        They aren't cancelled: their threads would go on, and make files anew while these are cleared away.
        """
        async with budget.reserve(memory_of(group[0][0].move, self._leaves)):
            if failures:
                return
            try:
                await self._write(group)
            except BaseException as error:
                failures.append(error)

    async def _write(self, group: list[tuple[Pending, Any, Any]]) -> None:
        move = group[0][0].move
        arrays = await asyncio.to_thread(run_move, move, self._leaves)
        for pending, info, arg in group:
            array = arrays[pending.index]
            for future in await self._arrays.serialize([array], [info], [arg]):
                await asyncio.to_thread(future.result)
            self._progress(array.nbytes)
        del arrays, array
        return_freed_memory()


def run_move(move: Move, leaves: Mapping[TreePath, Leaf]) -> list[np.ndarray[Any, Any]]:
    """Reads the sources of a move and makes its destinations.

    Raises:
        CheckpointError: a source can't be read, or doesn't have the shape that its metadata says.
    """
    sources = [_read(path, leaves) for path in move.sources]
    if move.transform == IDENTITY:
        arrays = sources
    else:
        try:
            arrays = move.transform.apply(sources, [target.shape for target in move.destinations])
        except TransformError as error:
            raise CheckpointError(f"{' + '.join(map(show_path, move.sources))}: {error}") from error
    return [
        _cast(array, target.dtype, show_path(target.path))
        for array, target in zip(arrays, move.destinations, strict=True)
    ]


def memory_of(move: Move, leaves: Mapping[TreePath, Leaf]) -> int:
    """The most bytes that a move needs at once: while reading, while transforming, or while writing.

    TensorStore keeps a compressed copy of what it writes, so written arrays count twice.
    """
    sources = [leaf for leaf in map(leaves.__getitem__, move.sources) if isinstance(leaf, ArrayLeaf)]
    held = sum(leaf.nbytes for leaf in sources)
    reading = held + max(leaf.read_bytes - leaf.nbytes for leaf in sources)
    made = sum(math.prod(target.shape) * target.dtype.itemsize for target in move.destinations)
    return max(reading, held + made)


def _read(path: TreePath, leaves: Mapping[TreePath, Leaf]) -> np.ndarray[Any, Any]:
    leaf = leaves[path]
    assert isinstance(leaf, ArrayLeaf)
    array = leaf.read()
    if array.shape != leaf.shape or array.dtype != leaf.dtype:
        raise CheckpointError(
            f"{show_path(path)} is damaged: {array.dtype}{array.shape} instead of {leaf.dtype}{leaf.shape}."
        )
    return array


def _cast(array: np.ndarray[Any, Any], dtype: np.dtype[Any], name: str) -> np.ndarray[Any, Any]:
    if array.dtype == dtype:
        return array
    if dtype.kind == "u" and array.size and int(array.min()) < 0:
        raise CheckpointError(f"{name} would be negative, but is stored as {dtype}.")
    return array.astype(dtype)
