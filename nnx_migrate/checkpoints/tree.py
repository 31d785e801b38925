"""A checkpoint as a flat tree of leaves that are read only when somebody asks for their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.errors import CheckpointError

#: Where a leaf stands in the tree. Sequence indices are strings ("0"), as every format stores them.
TreePath = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ArrayLeaf:
    """An array that stays on disk until `read` is called.

    Attributes:
        shape: the global shape, whatever way the file shards it.
        dtype: the dtype of the values; bfloat16 and the 8-bit floats are the `ml_dtypes` ones.
        read: returns the values as a fresh array. May raise `CheckpointError`.
        read_bytes: the memory that `read` needs at its peak, the result included.
        key_impl: for a typed PRNG key, the name of its implementation (the values are its key data).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray[Any, Any]]
    read_bytes: int
    key_impl: str | None = None

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Literal:
    """A Python scalar or string that stands in the tree itself (`step`, a config entry)."""

    value: bool | int | float | complex | str | bytes


@dataclass(frozen=True)
class Empty:
    """A place that holds nothing: `None`, `{}`, `optax.EmptyState`, `optax.MaskedNode`."""


EMPTY = Empty()
Leaf = ArrayLeaf | Literal | Empty


@dataclass
class Checkpoint:
    """One readable checkpoint.

    Attributes:
        format: which reader understood it, as shown to people ("Orbax PyTree", "msgpack", ...).
        location: the file or folder that was read; for a folder of steps, the chosen step.
        leaves: every leaf by its path, in stored order.
        notes: what a person should know about the reading (step chosen, dtype guessed, ...).
    """

    format: str
    location: Path
    leaves: dict[TreePath, Leaf]
    notes: list[str] = field(default_factory=list)

    def arrays(self) -> dict[TreePath, ArrayLeaf]:
        """Only the leaves that hold arrays."""
        return {path: leaf for path, leaf in self.leaves.items() if isinstance(leaf, ArrayLeaf)}


def show_path(path: TreePath) -> str:
    """The path as people read it: `params/Dense_0/kernel`."""
    return "/".join(path) if path else "(root)"


def inner_nodes(leaves: Iterable[TreePath]) -> dict[TreePath, list[TreePath]]:
    """Every inner node with the full paths of the leaves below it, outermost nodes first."""
    nodes: dict[TreePath, list[TreePath]] = {(): []}
    for path in leaves:
        for depth in range(len(path)):
            nodes.setdefault(path[:depth], []).append(path)
    return dict(sorted(nodes.items(), key=lambda node: len(node[0])))


def in_memory(array: np.ndarray[Any, Any]) -> ArrayLeaf:
    """Wraps an array that is already loaded."""
    return ArrayLeaf(tuple(array.shape), array.dtype, lambda: array, array.nbytes)


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype that JAX calls `name`, including bfloat16, float8 and int4.

    Raises:
        CheckpointError: there is no such dtype.
    """
    import ml_dtypes

    if name in ("void16", "V2", "|V2"):  # how numpy without ml_dtypes spells bfloat16
        name = "bfloat16"
    try:
        return np.dtype(getattr(ml_dtypes, name, name))
    except TypeError as error:
        raise CheckpointError(f"The checkpoint holds an array of unknown dtype {name!r}.") from error


def flatten(tree: object, prefix: TreePath = ()) -> dict[TreePath, Leaf]:
    """Flattens nested containers of in-memory values into leaves.

    Takes what unpickling and object arrays produce: mappings (`FrozenDict` too), sequences, named tuples,
    dataclasses (`TrainState`) and anything with `__array__`.

    Raises:
        CheckpointError: a leaf is of a type that a checkpoint can't hold.
    """
    if tree is None:
        return {prefix: EMPTY}
    if isinstance(tree, (bool, int, float, complex, str, bytes)):
        return {prefix: Literal(tree)}
    if isinstance(tree, (np.ndarray, np.generic)):
        return {prefix: in_memory(np.asarray(tree))}
    children = _children(tree)
    if children is None:
        if callable(tree) or not hasattr(tree, "__array__"):
            kind = f"{type(tree).__module__}.{type(tree).__qualname__}"
            raise CheckpointError(
                f"{show_path(prefix)} holds a {kind}, which is neither a container nor an array."
            )
        return {prefix: in_memory(np.asarray(tree))}
    flat: dict[TreePath, Leaf] = {}
    for key, child in children:
        flat.update(flatten(child, (*prefix, str(key))))
    return flat if flat or not prefix else {prefix: EMPTY}


def _children(tree: object) -> Iterable[tuple[object, object]] | None:
    """The (key, value) pairs of a container, or None if `tree` is no container."""
    if isinstance(tree, Mapping):
        return list(tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return zip(tree._fields, tree, strict=True)
    if isinstance(tree, (list, tuple)):
        return list(enumerate(tree))
    fields = getattr(tree, "__dataclass_fields__", None)
    if fields is not None:
        # TrainState keeps its functions (apply_fn, tx) in fields that are no pytree nodes.
        return [
            (name, getattr(tree, name))
            for name, info in fields.items()
            if info.metadata.get("pytree_node", True)
        ]
    return None
