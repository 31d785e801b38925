"""A planned conversion: which leaves go where, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.locate import Match
from nnx_migrate.checkpoints.tree import ArrayLeaf, Leaf, TreePath
from nnx_migrate.numerics.leaf_transforms import IDENTITY, Transform


@dataclass(frozen=True)
class Destination:
    """One array of the converted checkpoint."""

    path: TreePath
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Move:
    """Source arrays that together make one or several destination arrays."""

    sources: tuple[TreePath, ...]
    destinations: tuple[Destination, ...]
    transform: Transform = IDENTITY


@dataclass
class MovedModel:
    """A model of the source, and where each of its NNX variables goes."""

    match: Match
    destinations: dict[TreePath, TreePath] = field(default_factory=dict)


@dataclass
class Plan:
    """Everything that will be written.

    Attributes:
        leaves: the source leaves after the rewriting that some old formats need.
        models: every model that was found.
        moves: arrays on their way.
        values: small things written as they are: Python scalars, strings, typed PRNG keys.
        empties: places that hold nothing, but that a restore looks for (masked moments).
        fresh: by place, NNX leaf -> destination: what gets the new model's initial value.
        nnx_nodes: the nodes that are NNX states: their list indices are dict keys, as `nnx.state` has them.
        notes: what a person should know.
    """

    leaves: dict[TreePath, Leaf]
    models: list[MovedModel] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    values: dict[TreePath, Any] = field(default_factory=dict)
    empties: set[TreePath] = field(default_factory=set)
    fresh: dict[TreePath, dict[TreePath, TreePath]] = field(default_factory=dict)
    nnx_nodes: set[TreePath] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def arrays(self) -> dict[TreePath, Destination]:
        """Every array that will be written, by its path."""
        return {target.path: target for move in self.moves for target in move.destinations}

    def array(self, path: TreePath) -> ArrayLeaf:
        """The array of the source at `path`."""
        leaf = self.leaves[path]
        assert isinstance(leaf, ArrayLeaf)
        return leaf
