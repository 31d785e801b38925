"""Reads pickled trees of parameters. Unpickling runs code, so only with the user's consent."""

from __future__ import annotations

import pickle
from pathlib import Path

from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError
from nnx_migrate.checkpoints.tree import Checkpoint, flatten


def read(path: Path, *, allow_pickle: bool) -> Checkpoint:
    """Unpickles a tree (dict, FrozenDict, TrainState, ...) whose leaves are arrays. Loads all of it.

    Raises:
        CheckpointError: `allow_pickle` is false, or the pickle needs a class that can't be imported.
        TruncatedCheckpointError: the file ends early.
    """
    if not allow_pickle:
        raise CheckpointError(
            f"{path} is a pickle.",
            hint="Unpickling runs code from the file: pass --allow-pickle if you trust it.",
        )
    try:
        with path.open("rb") as file:
            tree = pickle.load(file)
    except (EOFError, pickle.UnpicklingError) as error:
        raise TruncatedCheckpointError(f"{path} is truncated or no pickle: {error}") from error
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"{path} needs a class that can't be imported here: {error}",
            hint="Run the command in the project's own environment and folder.",
        ) from error
    return Checkpoint("pickle", path, flatten(tree))
