"""Compares a planned optimizer state with the one that the user's optimizer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnx_migrate.checkpoints.tree import TreePath, show_path
from nnx_migrate.numerics.map_expansion import LeafSpec

if TYPE_CHECKING:
    from nnx_migrate.checkpoints.plan import Plan


def check_optimizer(
    plan: Plan, node: TreePath, expected: Mapping[TreePath, LeafSpec | None], pure: bool
) -> list[str]:
    """What keeps the state planned at `node` from being restored into the optimizer; [] if nothing does.

    Args:
        plan: the plan so far.
        node: where the optimizer's state goes.
        expected: the state of the user's `nnx.Optimizer`; None stands for an empty place.
        pure: whether variables have no `value` level.
    """
    box = () if pure else ("value",)
    wanted = {(*node, *path, *box): spec for path, spec in expected.items()}
    arrays = {
        path: target for path, target in plan.arrays().items() if path in wanted or _below(path, node, wanted)
    }
    scalars = {path for path in plan.values if path in wanted}
    problems = []
    for path, spec in wanted.items():
        if spec is None:
            if path in arrays:
                problems.append(f"{show_path(path)}: the optimizer has nothing there (masked)")
            plan.empties.add(path)
        elif path in arrays:
            target = arrays[path]
            if target.shape != spec.shape or str(target.dtype) != spec.dtype:
                stored, wants = f"{target.dtype}{target.shape}", f"{spec.dtype}{spec.shape}"
                problems.append(f"{show_path(path)}: {stored} in the checkpoint, {wants} in the optimizer")
        elif path not in scalars:
            problems.append(f"{show_path(path)}: the optimizer needs it, the checkpoint has it not")
    problems += [
        f"{show_path(path)}: in the checkpoint, but not in the optimizer"
        for path in arrays
        if path not in wanted
    ]
    return problems


def _below(path: TreePath, node: TreePath, wanted: Mapping[TreePath, object]) -> bool:
    """Whether `path` belongs to the optimizer's state at `node` (which may share its node with the model)."""
    fields = {place[len(node)] for place in wanted}
    return path[: len(node)] == node and len(path) > len(node) and path[len(node)] in fields
