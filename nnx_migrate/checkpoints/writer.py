"""Writes a planned conversion as an Orbax checkpoint that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.checkpoints.plan import Plan
from nnx_migrate.checkpoints.stream import Pending, Progress, StreamingHandler
from nnx_migrate.checkpoints.tree import TreePath


def write(
    plan: Plan,
    fresh: Mapping[TreePath, Any],
    destination: Path,
    *,
    step: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda size: None,
) -> None:
    """Writes everything that `plan` says to `destination`.

    Args:
        plan: what to write.
        fresh: initial values of the new model, by their path in the checkpoint.
        destination: the folder to make. It appears in one rename, when all of it is on disk.
        step: write a CheckpointManager folder with this step, instead of a plain checkpoint.
        overwrite: replace what is at `destination`.
        progress: called with the number of bytes of each array that has been written.

    Raises:
        CheckpointError: the destination exists, or an array can't be read. Nothing is left behind then.
    """
    if destination.exists() and not overwrite:
        raise CheckpointError(f"{destination} exists.", hint="Choose another folder, or pass --overwrite.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    tree = _tree(plan, fresh)
    with _sibling(destination) as folder:
        finished = folder / "new"
        registry = _registry(plan, progress)
        handler = ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
        try:
            if step is None:
                with ocp.Checkpointer(handler) as checkpointer:
                    checkpointer.save(finished, args=ocp.args.PyTreeSave(tree))
            else:
                _save_step(finished, handler, step, tree)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        _replace(finished, destination, folder / "old")


def _save_step(folder: Path, handler: Any, step: int, tree: Any) -> None:
    folder.mkdir()
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    with ocp.CheckpointManager(folder, options=options, item_handlers=handler) as manager:
        manager.save(step, args=ocp.args.PyTreeSave(tree))


def _registry(plan: Plan, progress: Progress) -> Any:
    """Our leaves, and Orbax's own handlers for the few values that are not arrays."""
    handlers = ocp.type_handlers
    return handlers.create_type_handler_registry(
        (Pending, StreamingHandler(plan.leaves, progress)),
        *((kind, handlers.get_type_handler(kind)) for kind in (int, float, str, jax.Array)),
    )


def _tree(plan: Plan, fresh: Mapping[TreePath, Any]) -> Any:
    """The nested containers that Orbax saves."""
    leaves: dict[TreePath, Any] = dict.fromkeys(plan.empties)
    for move in plan.moves:
        for index, target in enumerate(move.destinations):
            leaves[target.path] = Pending(move, index)
    for path, value in {**plan.values, **fresh}.items():
        leaves[path] = jax.numpy.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else value
    root: dict[str, Any] = {}
    for path, leaf in leaves.items():
        node = root
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = leaf
    return _with_lists(root, (), plan.nnx_nodes)


def _with_lists(node: Any, path: TreePath, nnx_nodes: set[TreePath]) -> Any:
    """Turns dicts with the keys 0, 1, ... back into lists, except in NNX states."""
    if not isinstance(node, dict) or path in nnx_nodes:
        return node
    children = {name: _with_lists(child, (*path, name), nnx_nodes) for name, child in node.items()}
    indices = [str(index) for index in range(len(children))]
    return [children[index] for index in indices] if children and set(children) == set(indices) else children


@contextlib.contextmanager
def _sibling(destination: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as the destination."""
    folder = Path(
        tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".nnx-migrate", dir=destination.parent)
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(new: Path, destination: Path, old: Path) -> None:
    if not destination.exists():
        new.rename(destination)
        return
    destination.rename(old)
    try:
        new.rename(destination)
    except OSError:
        old.rename(destination)
        raise


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of the tasks that ran side by side."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
