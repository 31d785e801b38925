"""Checkpoints and conversions as text and as JSON."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from nnx_migrate.checkpoints.plan import Move, Plan
from nnx_migrate.checkpoints.tree import (
    ArrayLeaf,
    Checkpoint,
    Leaf,
    Literal,
    TreePath,
    inner_nodes,
    show_path,
)
from nnx_migrate.numerics.leaf_transforms import IDENTITY


def tree_lines(checkpoint: Checkpoint, depth: int | None = None) -> list[str]:
    """The checkpoint as an indented tree: name, shape, dtype, size; inner nodes with the sum below them.

    Args:
        checkpoint: what to show.
        depth: how many levels; everything by default.
    """
    nodes = inner_nodes(checkpoint.leaves)
    rows: list[tuple[str, str, str, str]] = []

    def show(node: TreePath) -> None:
        children: dict[str, list[TreePath]] = defaultdict(list)
        for path in nodes[node]:
            children[path[len(node)]].append(path)
        for name, below in children.items():
            path, indent = (*node, name), "  " * len(node)
            if path in nodes:
                size = sum(_nbytes(checkpoint.leaves[leaf]) for leaf in below)
                rows.append((f"{indent}{name}/", "", "", readable_size(size)))
                if depth is None or len(path) < depth:
                    show(path)
            else:
                rows.append((f"{indent}{name}", *_columns(checkpoint.leaves[path])))

    if () in checkpoint.leaves:
        rows.append(("(root)", *_columns(checkpoint.leaves[()])))
    else:
        show(())
    arrays = checkpoint.arrays()
    total = sum(leaf.nbytes for leaf in arrays.values())
    return [
        f"{checkpoint.format}: {checkpoint.location}",
        *checkpoint.notes,
        *_aligned(rows),
        f"{len(arrays)} arrays, {readable_size(total)}; {len(checkpoint.leaves) - len(arrays)} other leaves",
    ]


def tree_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint as JSON: format, location, notes, and every leaf by its path."""
    return {
        "format": checkpoint.format,
        "location": str(checkpoint.location),
        "notes": checkpoint.notes,
        "leaves": {show_path(path): _leaf_json(leaf) for path, leaf in checkpoint.leaves.items()},
    }


def plan_lines(plan: Plan) -> list[str]:
    """The mapping of a conversion: one line per leaf, from -> to."""
    rows = [row for move in plan.moves for row in _move_rows(move)]
    rows += [("(value)", show_path(path), _short(value), "") for path, value in plan.values.items()]
    rows += [
        ("(new model)", show_path(path), "", "initial value")
        for places in plan.fresh.values()
        for path in places.values()
    ]
    rows += [("(empty)", show_path(path), "", "") for path in sorted(plan.empties)]
    return [*_aligned([(left, "-> " + right, *rest) for left, right, *rest in rows]), *plan.notes]


def plan_json(plan: Plan) -> dict[str, Any]:
    """The mapping of a conversion as JSON."""
    return {
        "arrays": [
            {
                "from": [show_path(path) for path in move.sources],
                "to": [show_path(target.path) for target in move.destinations],
                "shapes": [list(target.shape) for target in move.destinations],
                "dtypes": [str(target.dtype) for target in move.destinations],
                "transform": move.transform.to_json(),
            }
            for move in plan.moves
        ],
        "values": sorted(map(show_path, plan.values)),
        "initial": sorted(show_path(path) for places in plan.fresh.values() for path in places.values()),
        "empty": sorted(map(show_path, plan.empties)),
        "notes": plan.notes,
    }


def readable_size(size: int) -> str:
    """A size in bytes with the unit that suits it."""
    if size < 1024:
        return f"{size} B"
    power = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**power:.1f} {' KMGT'[power]}iB"


def _move_rows(move: Move) -> list[tuple[str, str, str, str]]:
    left = " + ".join(map(show_path, move.sources))
    transform = "" if move.transform == IDENTITY else move.transform.kind
    return [
        (left if index == 0 else "", show_path(target.path), f"{target.dtype}{list(target.shape)}", transform)
        for index, target in enumerate(move.destinations)
    ]


def _columns(leaf: Leaf) -> tuple[str, str, str]:
    if isinstance(leaf, ArrayLeaf):
        dtype = str(leaf.dtype) if leaf.key_impl is None else f"key<{leaf.key_impl}>"
        return str(list(leaf.shape)), dtype, readable_size(leaf.nbytes)
    if isinstance(leaf, Literal):
        return "", type(leaf.value).__name__, _short(leaf.value)
    return "", "(empty)", ""


def _leaf_json(leaf: Leaf) -> dict[str, Any]:
    if isinstance(leaf, ArrayLeaf):
        return {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "bytes": leaf.nbytes}
    if isinstance(leaf, Literal):
        plain = isinstance(leaf.value, (bool, int, float, str))
        return {"type": type(leaf.value).__name__, "value": leaf.value if plain else repr(leaf.value)}
    return {"type": "empty"}


def _nbytes(leaf: Leaf) -> int:
    return leaf.nbytes if isinstance(leaf, ArrayLeaf) else 0


def _short(value: object) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 40 else text[:37] + "..."


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
