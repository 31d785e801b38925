"""Finds where in a checkpoint the variables of a model are, whatever stands around them.

A checkpoint may be a dict of parameters, a dict of collections, a `TrainState`, NNX state, or any nesting of
those. A place is accepted only if the parameter map turns its leaves into exactly the leaves of the NNX
model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nnx_migrate.checkpoints.errors import MappingError
from nnx_migrate.checkpoints.target import Part
from nnx_migrate.checkpoints.tree import ArrayLeaf, Leaf, TreePath, inner_nodes, show_path
from nnx_migrate.checkpoints.variables import FORMS, NNX_FORMS, Form, rng_leaves, unboxed
from nnx_migrate.numerics.map_expansion import (
    TRANSIENT_COLLECTIONS,
    LeafPair,
    LeafSpec,
    MapError,
    expand,
    find_problems,
)
from nnx_migrate.numerics.parameter_map import LeafEntry, ParameterMap

_BRIDGE = "flax.nnx:ToNNX"


@dataclass(frozen=True)
class Match:
    """The variables of one model, found.

    Attributes:
        place: the model's key in the target.
        base: the node whose fields they are (the `TrainState`), or the dict of collections, or of parameters.
        fields: the field below `base` that holds each collection; empty if the variables *are* `base`. NNX
            state has the one collection "nnx".
        inner: the path below each collection where this model's variables begin (`params/actor` -> `actor`).
        nodes: where the variables of each collection begin.
        form: how they are written down.
        sources: from a variable's path (collection first; for NNX the path in the model) to its path in the
        file.
        pairs: which variables make which NNX leaves.
    """

    place: TreePath
    base: TreePath
    fields: Mapping[str, str]
    inner: TreePath
    nodes: Mapping[str, TreePath]
    form: Form
    sources: Mapping[TreePath, TreePath]
    pairs: tuple[LeafPair, ...]

    @property
    def is_nnx(self) -> bool:
        """Whether the source is NNX state already."""
        return self.form in NNX_FORMS


@dataclass(frozen=True)
class _Candidate:
    base: TreePath
    fields: Mapping[str, str]
    inner: TreePath
    collections: Mapping[str, TreePath]  # the node of each


class Locator:
    """Searches one checkpoint for the variables of models."""

    def __init__(self, leaves: Mapping[TreePath, Leaf], parameter_map: ParameterMap) -> None:
        self.leaves = leaves
        self.nodes = inner_nodes(leaves)
        self.children = _children(self.nodes)
        self.map = parameter_map
        self.collection_names = _collection_names(parameter_map)
        self.rng = rng_leaves(leaves)

    def find(self, place: TreePath, part: Part, root_class: str | None) -> list[Match]:
        """Every place where the variables of `part` are.

        Args:
            place: the model's key in the target, () for a single model.
            part: what the model expects.
            root_class: its class in the parameter map; None if Linen and NNX paths are the same.

        Raises:
            MappingError: nowhere, with the leaves that are missing, extra or mis-shaped at the likeliest
            place.
        """
        found: list[Match] = []
        failures: list[tuple[TreePath, list[str]]] = []
        for form in FORMS:
            candidates = self._nnx_candidates if form in NNX_FORMS else self._linen_candidates
            for candidate in candidates(place):
                sources = self._sources(candidate, form)
                if form in NNX_FORMS and not self._is_nnx_state(sources, form, part):
                    continue
                try:
                    pairs = self._pairs(sources, form, part, root_class)
                except MapError as error:
                    failures.append((next(iter(candidate.collections.values())), error.problems))
                    continue
                found.append(
                    Match(
                        place,
                        candidate.base,
                        candidate.fields,
                        candidate.inner,
                        candidate.collections,
                        form,
                        sources,
                        tuple(pairs),
                    )
                )
            if found:
                return found
        name = show_path(place) if place else part.model_class
        if not failures:
            raise MappingError(
                f"The checkpoint has no parameters for {name}.", hint="`inspect` shows what it has."
            )
        where, problems = min(failures, key=lambda failure: (len(failure[1]), -len(self.nodes[failure[0]])))
        hint = self._hint(where, part)
        raise MappingError(
            f"The variables under {show_path(where)} don't fit the model {name}.", hint=hint, details=problems
        )

    def _hint(self, where: TreePath, part: Part) -> str:
        if not self.map.modules:
            return "There is no parameter map: give the file that `fix` recorded with --map."
        empty = [
            path for path, classes in part.classes.items() if _BRIDGE in classes and not part.below(path)
        ]
        if empty:
            return (
                f"{show_path(empty[0])} is a Linen module without variables: let the function that builds the"
                " model call nnx.bridge.lazy_init(model, *inputs)."
            )
        arrays = [
            leaf for path in self.nodes.get(where, ()) if isinstance(leaf := self.leaves[path], ArrayLeaf)
        ]
        first_axes = {leaf.shape[:1] for leaf in arrays}
        shapes = sorted(leaf.shape[1:] for leaf in arrays)
        if len(first_axes) == 1 and shapes == sorted(spec.shape for spec in part.of_kind("params").values()):
            return "Every array has one axis too many. If it was saved from pmap, pass --unreplicate."
        return ""

    def _linen_candidates(self, place: TreePath) -> Iterator[_Candidate]:
        """Places that may hold Linen variables, outermost first."""
        named = False
        for node, children in self.children.items():
            if "params" not in children or "opt_state" in node:
                continue
            if "params" in self.children.get((*node, "params"), ()):
                continue  # a dict of collections in a field called params: its own turn comes
            for candidate in self._with_collections(node, place):
                named = True
                yield candidate
        if not named:  # a bare dict of parameters
            for node in self.nodes:
                if node[len(node) - len(place) :] == place and (place or len(node) <= 1):
                    yield _Candidate(node, {}, (), {"params": node})

    def _with_collections(self, node: TreePath, place: TreePath) -> Iterator[_Candidate]:
        """`node` has a child `params`: with the collections beside it, and the `TrainState` around it."""
        collections = {"params": (*node, "params"), **self._collections_in(node)}
        base, fields = node, {name: path[len(node)] for name, path in collections.items()}
        if node and node[-1] == "params":  # TrainState(params=variables)
            base = node[:-1]
            around = {
                name: path for name, path in self._collections_in(base).items() if name not in collections
            }
            fields = dict.fromkeys(collections, "params") | {n: path[len(base)] for n, path in around.items()}
            collections |= around
        if not place or place in (node[len(node) - len(place) :], base[len(base) - len(place) :]):
            yield _Candidate(base, fields, (), collections)
        if place and (*node, "params", *place) in self.nodes:
            inner = {name: (*path, *place) for name, path in collections.items()}
            yield _Candidate(
                base, fields, place, {name: path for name, path in inner.items() if path in self.nodes}
            )

    def _collections_in(self, node: TreePath) -> dict[str, TreePath]:
        """The collections other than `params` among the fields of `node`, or one level below a field of it."""
        found: dict[str, TreePath] = {}
        for name in self.children[node]:
            below = self.children.get((*node, name), ())
            if name in self.collection_names:
                found[name] = (*node, name)
            elif below and self.collection_names.issuperset(below) and "params" not in below:
                for child in below:  # model_state={"batch_stats": ...}
                    found.setdefault(child, (*node, name, child))
        found.pop("params", None)
        return found

    def _nnx_candidates(self, place: TreePath) -> Iterator[_Candidate]:
        """Places that may hold the state of an NNX model, outermost first."""
        for node in self.nodes:
            if "opt_state" in node or node[len(node) - len(place) :] != place:
                continue
            if node and node[-1] in self.collection_names:
                continue  # Linen's, even if the names below are the same on both sides
            siblings = self.children[node[:-1]] if node else ()
            if len(siblings) > 1:
                yield _Candidate(node[:-1], {"nnx": node[-1]}, (), {"nnx": node})
            else:
                yield _Candidate(node, {}, (), {"nnx": node})

    def _sources(self, at: _Candidate, form: Form) -> dict[TreePath, TreePath]:
        found = {}
        for name, node in at.collections.items():
            if name in TRANSIENT_COLLECTIONS:
                continue
            for leaf in self.nodes[node]:
                if isinstance(self.leaves[leaf], ArrayLeaf) and leaf not in self.rng:
                    path = unboxed(leaf[len(node) :], form)
                    found[path if form in NNX_FORMS else (name, *path)] = leaf
        return found

    def _is_nnx_state(self, sources: Mapping[TreePath, TreePath], form: Form, part: Part) -> bool:
        """Whether it is worth comparing: where it is not, the problems would tell nobody anything."""
        if form == "nnx state" and any(unboxed(leaf, form) == leaf for leaf in sources.values()):
            return False
        return 2 * len(sources.keys() & part.stored().keys()) >= len(part.stored())

    def _pairs(
        self, sources: Mapping[TreePath, TreePath], form: Form, part: Part, root_class: str | None
    ) -> list[LeafPair]:
        """The leaf pairs; raises MapError if anything is missing, extra or mis-shaped."""
        # Dtypes are the planner's business: a checkpoint may be stored in another precision than the model's.
        targets = {path: LeafSpec(spec.shape, "", spec.kind) for path, spec in part.stored().items()}
        if form in NNX_FORMS:
            kinds = {path: spec.kind for path, spec in targets.items()}
            stored = {path: self._spec(leaf, kinds.get(path, "")) for path, leaf in sources.items()}
            pairs = [LeafPair((path,), (path,)) for path in targets if path in stored]
            if problems := find_problems(pairs, stored, targets):
                raise MapError(problems)
            return pairs
        stored = {path: self._spec(leaf, path[0]) for path, leaf in sources.items()}
        names = {base for bases in part.classes.values() for base in bases}
        aliases = {name: self.map.key(name) or name for name in names}
        return expand(
            self.map,
            root_class,
            stored,
            targets,
            lambda path: [aliases[name] for name in part.classes.get(path, ())],
        ).pairs

    def _spec(self, source: TreePath, kind: str) -> LeafSpec:
        leaf = self.leaves[source]
        assert isinstance(leaf, ArrayLeaf)
        return LeafSpec(leaf.shape, "", kind)


def _children(nodes: Mapping[TreePath, list[TreePath]]) -> dict[TreePath, list[str]]:
    return {node: list(dict.fromkeys(leaf[len(node)] for leaf in leaves)) for node, leaves in nodes.items()}


def _collection_names(parameter_map: ParameterMap) -> frozenset[str]:
    """Linen's own collections and those that the map speaks of."""
    own = {
        pattern.elements[0]
        for class_map in parameter_map.modules.values()
        for entry in class_map.entries
        if isinstance(entry, LeafEntry)
        for pattern in entry.linen
    }
    return frozenset({"params", "batch_stats", "cache", *own, *TRANSIENT_COLLECTIONS})
