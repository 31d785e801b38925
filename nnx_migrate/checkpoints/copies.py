"""Subtrees shaped like the parameters: Adam's moments, EMA weights, accumulated gradients, target networks.

Such a subtree has, at every path of the parameters, a leaf or nothing (a masked moment). It moves through the
same leaf pairs as the parameters. That holds for every optax state without knowing its class, as optax builds
its states with `jax.tree.map` over the parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nnx_migrate.checkpoints.locate import Locator, Match
from nnx_migrate.checkpoints.tree import ArrayLeaf, Leaf, Literal, TreePath, show_path
from nnx_migrate.checkpoints.variables import unboxed, without_box
from nnx_migrate.numerics.map_expansion import LeafPair


@dataclass(frozen=True)
class Copy:
    """One subtree that mirrors the variables of one collection.

    Attributes:
        node: where it is.
        match: the variables that it mirrors.
        leaves: from a variable's path (as in `Match.sources`) to the leaf here, or to an empty place.
        pairs: the leaf pairs of the match that concern it.
        complete: false if only some parameters have a leaf here and the rest have not even an empty place.
    """

    node: TreePath
    match: Match
    leaves: Mapping[TreePath, TreePath]
    pairs: tuple[LeafPair, ...]
    complete: bool = True


def find_copies(
    locator: Locator, matches: list[Match], param_paths: Mapping[TreePath, set[TreePath]]
) -> list[Copy]:
    """All subtrees that mirror the variables of some match, outermost first, none inside another.

    Args:
        locator: the checkpoint.
        matches: the variables found in it.
        param_paths: by place, the NNX paths of the model's parameters (`nnx.Param`).
    """
    shapes = [shape for match in matches for shape in _mirrored(match, param_paths[match.place])]
    own = {leaf for match in matches for leaf in match.sources.values()}
    found: list[Copy] = []
    taken: set[TreePath] = set()
    for node, leaves in locator.nodes.items():
        if any(node[:depth] in taken for depth in range(len(node) + 1)) or not own.isdisjoint(leaves):
            continue
        for shape in shapes:
            copy = _copy_at(locator.leaves, node, leaves, shape)
            if copy is not None:
                found.append(copy)
                taken.add(node)
                break
    return found


def stray_parameters(locator: Locator, matches: list[Match], claimed: set[TreePath]) -> list[str]:
    """Leaves outside every copy that are named like parameters: a copy that doesn't fit as a whole.

    They would otherwise pass under their old names, and be lost on restoring.
    """
    tails = {path[-2:] for match in matches for path in match.sources if len(path) > 2 or match.is_nnx}
    strays = Counter(
        path[:-2]
        for path, leaf in locator.leaves.items()
        if path not in claimed and isinstance(leaf, ArrayLeaf) and without_box(path)[-2:] in tails
    )
    return [
        f"{show_path(node)}: {count} leaves are named like parameters, but are no copy of all of them"
        for node, count in strays.items()
    ]


@dataclass(frozen=True)
class _Shape:
    """What a copy looks like: the relative paths of one collection of a match."""

    match: Match
    paths: Mapping[TreePath, TreePath]  # relative path -> variable path
    pairs: tuple[LeafPair, ...]


def _mirrored(match: Match, param_paths: set[TreePath]) -> Iterator[_Shape]:
    """The trees that may have copies: the parameters, and each other collection."""
    if match.is_nnx:
        pairs = tuple(pair for pair in match.pairs if pair.nnx[0] in param_paths)
        yield _Shape(match, {pair.linen[0]: pair.linen[0] for pair in pairs}, pairs)
        if len(pairs) < len(match.pairs):
            yield _Shape(match, {path: path for path in match.sources}, match.pairs)
        return
    for collection in dict.fromkeys(path[0] for path in match.sources):
        paths = {path[1:]: path for path in match.sources if path[0] == collection}
        pairs = tuple(pair for pair in match.pairs if pair.linen[0][0] == collection)
        yield _Shape(match, paths, pairs)


def _copy_at(
    leaves: Mapping[TreePath, Leaf], node: TreePath, below: list[TreePath], shape: _Shape
) -> Copy | None:
    """The copy at `node`, if its leaves are those of `shape` and nothing else."""
    if len(below) > len(shape.paths) or any(isinstance(leaves[leaf], Literal) for leaf in below):
        return None
    own = {unboxed(leaf[len(node) :], shape.match.form): leaf for leaf in below}
    if not own.keys() <= shape.paths.keys() or not any(isinstance(leaves[leaf], ArrayLeaf) for leaf in below):
        return None
    found = {shape.paths[path]: leaf for path, leaf in own.items()}
    if len(found) == len(shape.paths):
        return Copy(node, shape.match, found, shape.pairs)
    # A part of the parameters (an optimizer over some of them): only if every leaf has its parameter's shape,
    # as a scalar called `scale` in some other state must not be taken for a parameter.
    if not all(_same_shape(leaves, leaf, shape.match.sources[path]) for path, leaf in found.items()):
        return None
    pairs = tuple(pair for pair in shape.pairs if all(path in found for path in pair.linen))
    if sum(len(pair.linen) for pair in pairs) != len(found):
        return None
    return Copy(node, shape.match, found, pairs, complete=False)


def _same_shape(leaves: Mapping[TreePath, Leaf], left: TreePath, right: TreePath) -> bool:
    one, other = leaves[left], leaves[right]
    return not isinstance(one, ArrayLeaf) or (isinstance(other, ArrayLeaf) and one.shape == other.shape)
