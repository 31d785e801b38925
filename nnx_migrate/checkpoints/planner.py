"""Makes the plan of a conversion, complete and checked."""

from __future__ import annotations

import dataclasses

from nnx_migrate.checkpoints import legacy_optim, optimizers
from nnx_migrate.checkpoints.copies import Copy, find_copies, stray_parameters
from nnx_migrate.checkpoints.errors import MappingError
from nnx_migrate.checkpoints.layout import Layout
from nnx_migrate.checkpoints.locate import Locator, Match
from nnx_migrate.checkpoints.options import Options, matches
from nnx_migrate.checkpoints.plan import Destination, Move, MovedModel, Plan
from nnx_migrate.checkpoints.target import RNG, Part, Target
from nnx_migrate.checkpoints.tree import (
    ArrayLeaf,
    Checkpoint,
    Leaf,
    Literal,
    TreePath,
    dtype_named,
    show_path,
)
from nnx_migrate.checkpoints.variables import key_or_count, without_box
from nnx_migrate.numerics.leaf_transforms import IDENTITY, Transform
from nnx_migrate.numerics.map_expansion import LeafPair
from nnx_migrate.numerics.parameter_map import ParameterMap


def make_plan(checkpoint: Checkpoint, parameter_map: ParameterMap, target: Target, options: Options) -> Plan:
    """Plans the conversion of `checkpoint` into the NNX state of `target`.

    Raises:
        MappingError: with every leaf that is missing, extra or mis-shaped; nothing has been written then.
    """
    leaves, notes = source_leaves(checkpoint, options)
    planner = _Planner(Plan(leaves, notes=[*checkpoint.notes, *notes]), parameter_map, target, options)
    return planner.plan()


def source_leaves(checkpoint: Checkpoint, options: Options) -> tuple[dict[TreePath, Leaf], list[str]]:
    """The leaves that a conversion starts from: without what is dropped, old layouts rewritten; and notes."""
    leaves = {path: leaf for path, leaf in checkpoint.leaves.items() if not matches(path, options.drop)}
    leaves, notes = legacy_optim.rewrite(leaves, keep_state=not options.model_only)
    if options.unreplicate:
        leaves = {path: _first_device(path, leaf) for path, leaf in leaves.items()}
    return leaves, notes


class _Planner:
    def __init__(self, plan: Plan, parameter_map: ParameterMap, target: Target, options: Options) -> None:
        self.result, self.map, self.target, self.options = plan, parameter_map, target, options
        self.locator = Locator(plan.leaves, parameter_map)
        self.problems: list[str] = []
        self.claimed: set[TreePath] = set()

    def plan(self) -> Plan:
        parts = self.target.parts
        matched: list[Match] = []
        for place, part in parts.items():
            matched += self.locator.find(
                place, _without_fresh(part, self.options.fresh), self._root_class(part)
            )
        if self.options.model_only:
            matched = _outermost(matched)
        combined = [place for place, part in parts.items() if part.combined]
        choices = self.options
        layout = Layout(
            choices.layout, self.locator, matched, combined, choices.pure, model_only=choices.model_only
        )
        for match in matched:
            self._move_variables(match, parts[match.place], layout)
        if self.options.model_only:
            self.result.notes.append("Only the models' variables are converted (--model-only).")
        else:
            params = {place: set(part.of_kind("params")) for place, part in parts.items()}
            copies = find_copies(self.locator, matched, params)
            for copy in copies:
                self._move_copy(copy, parts[copy.match.place], layout)
            self.problems += stray_parameters(self.locator, matched, self.claimed)
            self._move_rest(layout)
            if not layout.in_place:
                self.problems += optimizers.finish(self.result, layout, parts)
        self._check_destinations()
        if self.problems:
            raise MappingError(
                "The checkpoint can't be converted as a whole.",
                details=self.problems,
                hint="Leave leaves out with --drop, or everything but the models with --model-only.",
            )
        return self.result

    def _root_class(self, part: Part) -> str | None:
        if self.options.root_class is not None:
            if self.options.root_class not in self.map.modules:
                raise MappingError(
                    f"The parameter map has no class {self.options.root_class}.", hint=self._known()
                )
            return self.options.root_class
        key = self.map.key(part.model_class)
        if key is None and self.map.modules:
            raise MappingError(
                f"The parameter map has no entries for {part.model_class}.",
                hint=f"Name its class with --module. {self._known()}",
            )
        return key

    def _known(self) -> str:
        return f"The map knows: {', '.join(sorted(self.map.modules))}."

    def _move_variables(self, match: Match, part: Part, layout: Layout) -> None:
        wrong_dtypes = []
        moved = MovedModel(match)
        self.result.models.append(moved)
        for pair in match.pairs:
            sources = tuple(match.sources[path] for path in pair.linen)
            transform = self._needed(pair, match, part)
            collection = pair.linen[0][0]
            dtype = self.result.array(sources[0]).dtype
            destinations = []
            for path in pair.nnx:
                wanted = dtype_named(part.leaves[path].dtype)
                if wanted != dtype and not self.options.cast:
                    wrong_dtypes.append(
                        f"{show_path(sources[0])} is {dtype}, the model's {show_path(path)} {wanted}"
                    )
                place = layout.variable(match, collection, path)
                moved.destinations[path] = place
                destinations.append(Destination(place, part.leaves[path].shape, wanted))
            self.result.nnx_nodes.add(layout.model_node(match, collection))
            self._add(sources, destinations, transform)
        if wrong_dtypes:
            raise MappingError(
                "The checkpoint and the model differ in precision.",
                details=wrong_dtypes,
                hint="Build the model with the checkpoint's param_dtype, or convert the values with --cast.",
            )
        self._initial_values(match, part, layout)

    def _initial_values(self, match: Match, part: Part, layout: Layout) -> None:
        """Leaves that no Linen checkpoint has: PRNG state, and what the user wants fresh."""
        covered = {path for pair in match.pairs for path in pair.nnx}
        node = match.nodes.get("nnx", match.base)
        written = self.options.rngs and not layout.in_place
        stored_rng = {
            without_box(leaf[len(node) :]): leaf for leaf in self.locator.rng if leaf[: len(node)] == node
        }
        self.claimed |= set(stored_rng.values())
        kept = 0
        for path, spec in part.leaves.items():
            if path in covered or (spec.kind == RNG and not written):
                continue
            collection = spec.kind if spec.kind in match.nodes else next(iter(match.nodes))
            place = layout.variable(match, collection, path)
            if path in stored_rng:
                self.result.values[place] = key_or_count(self.result.array(stored_rng[path]), spec.dtype)
                kept += 1
            else:
                self.result.fresh.setdefault(match.place, {})[path] = place
        if dropped := len(stored_rng) - kept:
            instead = "the new model's initial ones are written" if written else "they are left out"
            self.result.notes.append(
                f"{dropped} PRNG leaves under {show_path(node)} have no place in the new layout; {instead}."
            )

    def _move_copy(self, copy: Copy, part: Part, layout: Layout) -> None:
        if not copy.complete:
            self.result.notes.append(
                f"{show_path(copy.node)} mirrors {len(copy.leaves)} of {len(copy.match.sources)} variables."
            )
        for pair in copy.pairs:
            sources = tuple(copy.leaves[path] for path in pair.linen)
            present = [isinstance(self.result.leaves[leaf], ArrayLeaf) for leaf in sources]
            self.claimed.update(sources)
            if not any(present):
                self.result.empties.update(layout.copied(copy, path) for path in pair.nnx)
                continue
            transform = self._needed(pair, copy.match, part)
            arrays = [leaf for leaf in map(self.result.leaves.get, sources) if isinstance(leaf, ArrayLeaf)]
            names = " + ".join(map(show_path, sources))
            if not all(present):
                self.problems.append(f"{names} become one leaf, but only some of them are there (masked)")
                continue
            mirrored = [self.result.array(copy.match.sources[path]).shape for path in pair.linen]
            shapes = [part.leaves[path].shape for path in pair.nnx]
            if [leaf.shape for leaf in arrays] != mirrored:
                if transform != IDENTITY:
                    self.problems.append(
                        f"{names}: no {transform.kind} for values of another shape than the parameter"
                    )
                    continue
                shapes = [arrays[0].shape]
            destinations = [
                Destination(layout.copied(copy, path), shape, arrays[0].dtype)
                for path, shape in zip(pair.nnx, shapes, strict=True)
            ]
            self._add(sources, destinations, transform)
        self.result.nnx_nodes.add(layout.copy_node(copy))

    def _needed(self, pair: LeafPair, match: Match, part: Part) -> Transform:
        """The transform of a pair; a reshape to the shape that the variable has already is none."""
        if pair.transform.kind != "reshape":
            return pair.transform
        shape = self.result.array(match.sources[pair.linen[0]]).shape
        return IDENTITY if shape == part.leaves[pair.nnx[0]].shape else pair.transform

    def _move_rest(self, layout: Layout) -> None:
        for path, leaf in list(self.result.leaves.items()):
            if path in self.claimed:
                continue
            if "params" in path and isinstance(leaf, ArrayLeaf):
                self.problems.append(f"{show_path(path)}: no model was given for these parameters")
                continue
            place = layout.elsewhere(path)
            if not place.in_optimizer:
                self._move_plain(path, leaf, place.path)
            elif isinstance(leaf, (ArrayLeaf, Literal)):
                self.claimed.add(path)
                self.problems += optimizers.move_state(self.result, path, layout.optimizer_leaf(place.path))

    def _move_plain(self, path: TreePath, leaf: Leaf, place: TreePath) -> None:
        if isinstance(leaf, ArrayLeaf) and leaf.key_impl is not None:
            self.result.values[place] = key_or_count(leaf, f"key<{leaf.key_impl}>")
        elif isinstance(leaf, ArrayLeaf):
            self._add((path,), [Destination(place, leaf.shape, leaf.dtype)])
        elif isinstance(leaf, Literal):
            if isinstance(leaf.value, (complex, bytes)):
                self.problems.append(
                    f"{show_path(path)} holds a {type(leaf.value).__name__}, which Orbax can't store"
                )
            self.result.values[place] = leaf.value
        else:
            self.result.empties.add(place)

    def _add(
        self, sources: tuple[TreePath, ...], destinations: list[Destination], transform: Transform = IDENTITY
    ) -> None:
        self.claimed.update(sources)
        self.result.moves.append(Move(sources, tuple(destinations), transform))

    def _check_destinations(self) -> None:
        """No place twice, none inside another, and nothing that Orbax refuses."""
        self.problems += [
            f"{show_path(path)} has no elements, and Orbax stores no empty arrays"
            for path, target in self.result.arrays().items()
            if 0 in target.shape
        ]
        seen: set[TreePath] = set()
        everything = [target.path for move in self.result.moves for target in move.destinations]
        everything += [
            *self.result.values,
            *(p for places in self.result.fresh.values() for p in places.values()),
        ]
        for path in everything:
            if path in seen:
                self.problems.append(f"{show_path(path)} would be written twice")
            seen.add(path)
        for path in seen:
            for depth in range(len(path)):
                if path[:depth] in seen:
                    self.problems.append(
                        f"{show_path(path)} would lie inside the array {show_path(path[:depth])}"
                    )


def _outermost(matches: list[Match]) -> list[Match]:
    """The matches that are not inside the tree of another one (an average of the weights beside them, say)."""
    bases = {match.base for match in matches}
    return [m for m in matches if not any(m.base[:depth] in bases for depth in range(len(m.base)))]


def _without_fresh(part: Part, patterns: tuple[str, ...]) -> Part:
    """The part as far as the checkpoint has to supply it."""
    kept = {
        path: spec for path, spec in part.leaves.items() if spec.kind == RNG or not matches(path, patterns)
    }
    return dataclasses.replace(part, leaves=kept)


def _first_device(path: TreePath, leaf: Leaf) -> Leaf:
    if not isinstance(leaf, ArrayLeaf) or leaf.key_impl is not None:
        return leaf
    if not leaf.shape:
        raise MappingError(f"{show_path(path)} is a scalar, so the checkpoint is not replicated.")
    return ArrayLeaf(leaf.shape[1:], leaf.dtype, lambda: leaf.read()[0], leaf.read_bytes)
