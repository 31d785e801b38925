"""What `nnx.Optimizer` keeps beside the copies of the parameters: step, counters, hyperparameters, keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.layout import Layout
from nnx_migrate.checkpoints.plan import Destination, Move, Plan
from nnx_migrate.checkpoints.target import Part
from nnx_migrate.checkpoints.tree import ArrayLeaf, Literal, TreePath, in_memory, show_path
from nnx_migrate.checkpoints.variables import key_or_count, without_box
from nnx_migrate.numerics.map_expansion import LeafSpec


def move_state(plan: Plan, path: TreePath, place: TreePath) -> list[str]:
    """Plans the way of one counter, schedule state or hyperparameter: an `OptState` variable in NNX.

    Args:
        plan: where the move is added.
        path: the leaf in the source, an array or a Python number.
        place: where it goes.

    Returns:
        What is wrong with it, or nothing.
    """
    leaf = plan.leaves[path]
    if isinstance(leaf, Literal):
        if isinstance(leaf.value, (str, bytes)):
            return [f"{show_path(path)} in the optimizer state is no number"]
        leaf = plan.leaves[path] = in_memory(_as_jax_scalar(leaf.value))
    assert isinstance(leaf, ArrayLeaf)
    if leaf.key_impl is not None:
        plan.values[place] = key_or_count(leaf, f"key<{leaf.key_impl}>")
        return []
    is_step = without_box(place)[-1] == "step" and without_box(path)[-1] == "step"
    dtype = np.dtype(np.uint32) if is_step and leaf.dtype.kind in "iu" else leaf.dtype
    plan.moves.append(Move((path,), (Destination(place, leaf.shape, dtype),)))
    return []


def finish(plan: Plan, layout: Layout, parts: Mapping[TreePath, Part]) -> list[str]:
    """Completes the planned optimizers, and compares them with those that the user built.

    Args:
        plan: the plan, with every leaf of the source in it.
        layout: where things go.
        parts: the target's models and optimizers.

    Returns:
        What keeps a state from being restored into its optimizer; nothing where no optimizer was built.
    """
    problems = []
    for base, members in layout.bases().items():
        if not layout.has_optimizer(base):
            continue
        node = layout.optimizer_node(base)
        plan.nnx_nodes |= {(*node, "opt_state"), (*node, "step")}
        step = layout.optimizer_leaf((*node, "step"))
        if step not in plan.arrays():
            plan.values[step] = np.uint32(_largest_count(plan, base))
            plan.notes.append(f"The checkpoint has no step; {show_path(step)} is its optimizer's count.")
        expected = parts[members[0].place].optimizer
        if expected is not None and len(members) == 1:
            box = () if layout.pure else ("value",)
            problems += _compare(plan, node, {(*node, *path, *box): spec for path, spec in expected.items()})
    return problems


def _compare(plan: Plan, node: TreePath, wanted: Mapping[TreePath, LeafSpec | None]) -> list[str]:
    """What is missing, extra or different at `node`; empty places (None) are added to the plan."""
    _wrap_keys(plan, wanted)
    fields = {path[len(node)] for path in wanted}
    planned = {
        path: target
        for path, target in plan.arrays().items()
        if path[: len(node)] == node and path[len(node)] in fields
    }
    problems = [
        f"{show_path(path)}: in the checkpoint, but not in the optimizer"
        for path in planned
        if path not in wanted
    ]
    for path, spec in wanted.items():
        name = show_path(path)
        if spec is None:
            plan.empties.add(path)
            if path in planned:
                problems.append(f"{name}: the optimizer has nothing there (masked)")
        elif path in planned:
            stored, needed = planned[path], f"{spec.dtype}{spec.shape}"
            if (stored.shape, str(stored.dtype)) != (spec.shape, spec.dtype):
                problems.append(
                    f"{name}: {stored.dtype}{stored.shape} in the checkpoint, {needed} in the optimizer"
                )
        elif path not in plan.values:
            problems.append(f"{name}: the optimizer needs it, the checkpoint has it not")
    return problems


def _wrap_keys(plan: Plan, wanted: Mapping[TreePath, LeafSpec | None]) -> None:
    """Raw key data becomes a typed key where the optimizer has one (`optax.add_noise`)."""
    typed = {path: spec.dtype for path, spec in wanted.items() if spec and spec.dtype.startswith("key<")}
    for move in list(plan.moves):
        place = move.destinations[0].path
        if place in typed and move.destinations[0].dtype == np.uint32:
            plan.moves.remove(move)
            plan.values[place] = key_or_count(plan.array(move.sources[0]), typed[place])


def _largest_count(plan: Plan, base: TreePath) -> int:
    """How many updates the optimizer at `base` has made, as its transformations counted them."""
    counts = [
        leaf.read()
        for path, leaf in plan.leaves.items()
        if path[: len(base)] == base and without_box(path)[-1] == "count" and isinstance(leaf, ArrayLeaf)
    ]
    return max((int(count) for count in counts if count.shape == ()), default=0)


def _as_jax_scalar(value: bool | float | complex) -> np.ndarray[Any, Any]:
    """A Python number in the dtype that JAX gives it by default."""
    kinds = {bool: "bool", int: "int32", float: "float32", complex: "complex64"}
    return np.asarray(value, kinds[type(value)])
