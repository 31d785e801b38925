"""Checkpoints of a training run, written and read with Orbax.

The functions keep the names, files and retention that `flax.training.checkpoints` had, and restore what it
has written, the msgpack files of older Flax releases included.
"""

import os
import re
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

_NUMBER = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)")
_ORBAX_FILES = ("_METADATA", "manifest.ocdbt", "checkpoint")


def save_checkpoint(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: int | float,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
) -> str:
    """Write a pytree to `<ckpt_dir>/<prefix><step>`, then remove all but the last `keep` checkpoints.

    The checkpoint is complete when this returns. A step that exists already is a ValueError, unless
    `overwrite`, which also removes later steps. Steps that are `keep_every_n_steps` apart are kept for good.
    Returns the path.
    """
    path = _save(ckpt_dir, target, step, prefix, overwrite)
    if jax.process_index() == 0:
        _remove_superfluous(path, prefix, keep, overwrite, keep_every_n_steps)
    return str(path)


def save_checkpoint_multiprocess(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: int | float,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
) -> str:
    """`save_checkpoint` for all processes; old checkpoints are removed before the new one is written."""
    if jax.process_index() == 0:
        path = _directory(ckpt_dir) / f"{prefix}{step}"
        _remove_superfluous(path, prefix, keep, overwrite, keep_every_n_steps)
    return str(_save(ckpt_dir, target, step, prefix, overwrite))


def restore_checkpoint(
    ckpt_dir: str | os.PathLike[str],
    target: Any | None,
    step: int | float | None = None,
    prefix: str = "checkpoint_",
) -> Any:
    """The checkpoint of `step`, by default the latest, in the form of `target` (None: nested dicts).

    `ckpt_dir` may also be a checkpoint itself. Where there is none, `target` comes back as it is, but a
    missing `step` is a ValueError.
    """
    path = _directory(ckpt_dir)
    if step is not None:
        path = path / f"{prefix}{step}"
        if not path.exists():
            raise ValueError(f"Matching checkpoint not found: {path}")
    elif not path.exists():
        return target
    elif path.is_dir() and not _is_orbax(path):
        latest = latest_checkpoint(path, prefix)
        if latest is None:
            return target
        path = epath.Path(latest)
    if not _is_orbax(path):
        return _restore_msgpack(path, target)
    arguments: dict[str, Any] = {}
    if target is not None:
        arguments["item"] = target
        arguments["restore_args"] = _restore_args(target)
        flat = ocp.utils.to_flat_dict(target, sep="/", keep_empty_nodes=True)
        arguments["transforms"] = {k: ocp.Transform(use_fallback=True) for k, v in flat.items() if v is None}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        restored = flax.serialization.to_state_dict(checkpointer.restore(path, **arguments))
    return restored if target is None else flax.serialization.from_state_dict(target, restored)


def latest_checkpoint(ckpt_dir: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Path of the last checkpoint in natural order (10 after 9), None without any."""
    names = _names(epath.Path(ckpt_dir), prefix)
    return os.path.join(os.fspath(ckpt_dir), names[-1]) if names else None


def available_steps(
    ckpt_dir: str | os.PathLike[str], prefix: str = "checkpoint_", step_type: type = int
) -> list[int | float]:
    """Steps of all checkpoints, in natural order."""
    return [step_type(name[len(prefix) :]) for name in _names(epath.Path(ckpt_dir), prefix)]


def _directory(path: str | os.PathLike[str]) -> epath.Path:
    """Orbax wants absolute paths; URLs such as gs://bucket are."""
    text = os.fspath(path)
    return epath.Path(text if "://" in text else os.path.abspath(text))


def _save(
    ckpt_dir: str | os.PathLike[str], target: Any, step: int | float, prefix: str, overwrite: bool
) -> epath.Path:
    if jax.tree_util.treedef_is_leaf(jax.tree.structure(target)):
        raise ValueError("Orbax saves pytrees: put a single array into a dictionary.")
    path = _directory(ckpt_dir) / f"{prefix}{step}"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(path, target, force=overwrite)
    return path


def _names(directory: epath.Path, prefix: str) -> list[str]:
    """Names of finished checkpoints, in natural order."""
    if not directory.exists():
        return []
    found = [child.name for child in directory.iterdir() if child.name.startswith(prefix)]
    kept = [
        n
        for n in found
        if n != f"{prefix}tmp" and not n.endswith("_gda") and ".orbax-checkpoint-tmp" not in n
    ]
    return sorted(kept, key=_natural)


def _natural(name: str) -> list[Any]:
    return [float(part) if _NUMBER.fullmatch(part) else part for part in _NUMBER.split(name)]


def _remove_superfluous(path: epath.Path, prefix: str, keep: int, overwrite: bool, every: int | None) -> None:
    names = _names(path.parent, prefix)
    if overwrite and path.name in names:
        end = names.index(path.name) + 1
        for name in names[end:]:
            _remove(path.parent / name)
        names = names[:end]
    last_kept = float("-inf")
    for name in names[:-keep] if len(names) > keep else []:
        numbers = _NUMBER.findall(name)
        step = float(numbers[-1]) if numbers else 0.0
        if every and step and step - last_kept >= every:
            last_kept = step
        else:
            _remove(path.parent / name)


def _remove(path: epath.Path) -> None:
    if path.is_dir():
        path.rmtree()
    else:
        path.unlink()


def _is_orbax(path: epath.Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in _ORBAX_FILES)


def _restore_args(target: Any) -> Any:
    """Arrays come back as what they are in the target: sharded as there, or as numpy arrays."""
    shardings = jax.tree.map(lambda leaf: getattr(leaf, "sharding", None), target)
    if not jax.tree.leaves(shardings):
        return jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
    return ocp.checkpoint_utils.construct_restore_args(target, shardings, set_global_shape=False)


def _restore_msgpack(path: epath.Path, target: Any | None) -> Any:
    """A single file, as Flax wrote it before it used Orbax."""
    if epath.Path(f"{path}_gda").exists():
        raise ValueError(
            f"{path} has arrays of several processes: restore it with flax.training.checkpoints."
        )
    state = flax.serialization.msgpack_restore(path.read_bytes())
    return state if target is None else flax.serialization.from_state_dict(target, state)
