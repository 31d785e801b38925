"""From a checkpoint of the old program to one that the migrated program restores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.errors import CheckpointError, MappingError
from nnx_migrate.checkpoints.options import Options
from nnx_migrate.checkpoints.plan import Plan
from nnx_migrate.checkpoints.planner import make_plan
from nnx_migrate.checkpoints.target import Target, load_target
from nnx_migrate.checkpoints.tree import Checkpoint, TreePath
from nnx_migrate.numerics.parameter_map import MapFormatError, ParameterMap, load


@dataclass(frozen=True)
class Conversion:
    """A conversion that is planned and checked, and can be written.

    Attributes:
        checkpoint: the source.
        target: the abstract models.
        plan: which leaves go where.
        options: the choices that it was planned with.
    """

    checkpoint: Checkpoint
    target: Target
    plan: Plan
    options: Options

    @property
    def nbytes(self) -> int:
        """The size of all arrays that will be written."""
        return sum(int(t.dtype.itemsize) * _size(t.shape) for t in self.plan.arrays().values())

    def write(
        self,
        destination: Path,
        *,
        step: int | None = None,
        overwrite: bool = False,
        progress: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Writes the Orbax checkpoint; see `nnx_migrate.checkpoints.writer.write`."""
        from nnx_migrate.checkpoints.writer import write

        destination = destination.expanduser().absolute()
        source = self.checkpoint.location
        if destination == source or destination in source.parents or source in destination.parents:
            raise CheckpointError(f"{destination} and the source {source} must not contain one another.")
        write(self.plan, self._fresh(), destination, step=step, overwrite=overwrite, progress=progress)

    def _fresh(self) -> dict[TreePath, Any]:
        wanted = {place: list(paths) for place, paths in self.plan.fresh.items()}
        if not wanted:
            return {}
        values = self.target.fresh(wanted)
        return {
            self.plan.fresh[place][path]: value for place in values for path, value in values[place].items()
        }


def plan_conversion(
    source: Path,
    model: str,
    *,
    parameter_map: Path | None = None,
    folder: Path | None = None,
    step: float | None = None,
    item: str | None = None,
    allow_pickle: bool = False,
    options: Options | None = None,
) -> Conversion:
    """Reads a checkpoint, finds the models in it, and plans every leaf's way. Writes nothing.

    Args:
        source: the file or folder; see `open_checkpoint`.
        model: "module:expression" that builds the migrated model; see `load_target`.
        parameter_map: the file that `nnx-migrate fix` recorded; without one, both sides must have the same
        paths.
        folder: the project's folder, from which `model` is imported; the working directory by default.
        step: which step of a folder of steps.
        item: which item of a composite checkpoint.
        allow_pickle: whether pickled files may be loaded.
        options: see `Options`.

    Raises:
        CheckpointError: with what is wrong and what to do; see its subclasses.
    """
    checkpoint = open_checkpoint(source, step=step, item=item, allow_pickle=allow_pickle)
    try:
        entries = load(parameter_map) if parameter_map is not None else ParameterMap()
    except (OSError, MapFormatError) as error:
        raise MappingError(f"The parameter map can't be read: {error}") from error
    target = load_target(model, folder or Path.cwd())
    chosen = options or Options()
    return Conversion(checkpoint, target, make_plan(checkpoint, entries, target, chosen), chosen)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
