"""Proves a conversion: every array arrived, and the migrated model computes what the old one computed."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.array_notation import NotationError, array_or_expression
from nnx_migrate.checkpoints.convert import Conversion
from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.checkpoints.stream import Progress, run_move
from nnx_migrate.checkpoints.tree import ArrayLeaf, TreePath, show_path
from nnx_migrate.numerics.compare import EXACT, LeafComparison, Tolerance, compare_leaves
from nnx_migrate.numerics.processes import ChildError, run_child
from nnx_migrate.numerics.source import ModelSource


@dataclass(frozen=True)
class Call:
    """How both models are called.

    Attributes:
        inputs: positional arguments: arrays as "f32[2,28,28,1]" (see `array_notation`), or Python expressions.
        old_keywords: the keyword arguments of the Linen call, as Python ("train=False").
        new_keywords: those of the NNX call.
        old_method: the method to apply, `__call__` by default.
        new_method: the method to call, `__call__` by default.

    Raises:
        CheckpointError: an input that was meant as an array, and is none.
    """

    inputs: Sequence[str]
    old_keywords: str = ""
    new_keywords: str = ""
    old_method: str | None = None
    new_method: str | None = None

    def __post_init__(self) -> None:
        self.expressions()  # so that it is known before anything runs

    def expressions(self) -> list[str]:
        """The inputs as Python, in terms of jax, jnp and np."""
        try:
            return [array_or_expression(text, place) for place, text in enumerate(self.inputs)]
        except NotationError as error:
            raise CheckpointError(f"--input: {error}") from None


@dataclass
class Verdict:
    """What a check found.

    Attributes:
        problems: arrays that are missing, extra or different in the converted checkpoint.
        arrays: how many were compared, bit for bit.
        outputs: the comparison of each output leaf.
        skipped: what was not compared, and why.
    """

    problems: list[str]
    arrays: int
    outputs: list[LeafComparison] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.problems and all(leaf.verdict != "different" for leaf in self.outputs)


def check_contents(
    conversion: Conversion, destination: Path, progress: Progress = lambda size: None
) -> Verdict:
    """Reads the converted checkpoint back and compares every array with what its source leaves make.

    Raises:
        CheckpointError: one of the two can't be read.
    """
    plan = conversion.plan
    written = open_checkpoint(destination).leaves
    problems = []
    for move in plan.moves:
        for target, wanted in zip(move.destinations, run_move(move, plan.leaves), strict=True):
            leaf = written.get(target.path)
            if not isinstance(leaf, ArrayLeaf):
                problems.append(f"{show_path(target.path)} is missing")
            elif not _same_bits(leaf.read(), wanted):
                problems.append(
                    f"{show_path(target.path)} differs from {' + '.join(map(show_path, move.sources))}"
                )
            progress(wanted.nbytes)
    fresh = {path for places in plan.fresh.values() for path in places.values()}
    expected = {*plan.arrays(), *plan.values, *plan.empties, *fresh}
    problems += [f"{show_path(path)} is extra" for path in written if path not in expected]
    return Verdict(problems, len(plan.arrays()))


def compare_outputs(
    conversion: Conversion,
    destination: Path,
    *,
    old_model: str,
    old_folder: Path,
    new_model: str,
    new_folder: Path,
    call: Call,
    allow_pickle: bool = False,
    tolerance: Tolerance = EXACT,
    place: TreePath = (),
) -> list[LeafComparison]:
    """Runs the old model on the old checkpoint and the new one on the new, each in a process of its own.

    Args:
        conversion: the planned conversion that made `destination`.
        destination: the converted checkpoint.
        old_model: "module:expression" of the Linen model.
        old_folder: the project before the migration.
        new_model: "module:expression" of the NNX model.
        new_folder: the project after it.
        call: how both are called.
        allow_pickle: the conversion's.
        tolerance: how far the outputs may differ; not at all by default.
        place: which model, where the checkpoint holds several.

    Raises:
        CheckpointError: a side fails, or the source holds no Linen variables.
    """
    found = [moved for moved in conversion.plan.models if moved.match.place == place]
    if not found or found[0].match.is_nnx:
        raise CheckpointError(
            "The source holds no Linen variables, so there is no old model to compare with."
        )
    match, destinations = found[0].match, found[0].destinations
    with tempfile.TemporaryDirectory(prefix="nnx-migrate-") as folder:
        old = {
            "checkpoint": str(conversion.checkpoint.location),
            "allow_pickle": allow_pickle,
            "options": dataclasses.asdict(conversion.options),
            "leaves": [[list(path), list(leaf)] for path, leaf in match.sources.items()],
            "keywords": call.old_keywords,
            "method": call.old_method,
        }
        new = {
            "checkpoint": str(open_checkpoint(destination).location),
            "place": list(place),
            "leaves": [[list(path), list(leaf)] for path, leaf in destinations.items()],
            "keywords": call.new_keywords,
            "method": call.new_method,
        }
        before = _run("linen", old_model, old_folder, old, call.expressions(), Path(folder, "old.npz"))
        after = _run("nnx", new_model, new_folder, new, call.expressions(), Path(folder, "new.npz"))
    return compare_leaves(before, after, tolerance)


def _run(
    kind: str, model: str, folder: Path, job: Mapping[str, Any], inputs: Sequence[str], output: Path
) -> dict[TreePath, Any]:
    """One side's outputs by path."""
    source = ModelSource("linen" if kind == "linen" else "nnx", str(folder.absolute()), model)
    request = {
        **job,
        "action": kind,
        "source": source.to_json(),
        "inputs": list(inputs),
        "output": str(output),
    }
    try:
        run_child(request, module="nnx_migrate.checkpoints.child")
    except ChildError as error:
        side = "old" if kind == "linen" else "migrated"
        raise CheckpointError(f"The {side} model {model} can't be run: {error}") from error
    return {path[1:]: leaf.read() for path, leaf in open_checkpoint(output).arrays().items()}


def _same_bits(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    one, other = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (left, right))
    return bool(np.array_equal(one, other))
