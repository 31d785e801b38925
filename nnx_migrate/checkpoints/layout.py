"""Where everything stands in the converted checkpoint.

The default layout is what `{"model": nnx.state(model), "optimizer": nnx.state(optimizer)}` gives in Flax
0.12.8, or `nnx.state(model)` itself where the source holds nothing but variables (measured: every variable is
a node with the one child `value`; list indices are dict keys; `step` is uint32; empty optax states vanish,
masked moments stay as empty values).

The other two leave everything in its place and rename what is below: `functional` is what programs restore that call
the model as a function of its variables (dicts of arrays by collection), `train-state` what those restore whose
`TrainState` holds an `nnx.State` in its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nnx_migrate.checkpoints.copies import Copy
from nnx_migrate.checkpoints.locate import Locator, Match
from nnx_migrate.checkpoints.tree import TreePath
from nnx_migrate.checkpoints.variables import without_box

STYLES = ("nnx", "functional", "train-state")
_OPTIMIZER_FIELDS = ("opt_state", "optimizer_state", "optim_state")


@dataclass(frozen=True)
class Place:
    """Where a leaf goes, and whether the optimizer (an NNX object there) owns it."""

    path: TreePath
    in_optimizer: bool = False


@dataclass
class Layout:
    """Translates paths of one checkpoint.

    Attributes:
        style: one of `STYLES`.
        locator: the source.
        matches: the models found in it.
        combined: the places whose model and optimizer are one `nnx.ModelAndOptimizer`.
        pure: leave out the `value` level (`nnx.to_pure_dict`), as `functional` does anyway.
        model_only: the models stand alone, whatever the source has beside them.
    """

    style: str
    locator: Locator
    matches: Sequence[Match]
    combined: Iterable[TreePath] = ()
    pure: bool = False
    model_only: bool = False
    in_place: bool = field(init=False)
    _bases: dict[TreePath, list[Match]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.in_place = self.style != "nnx"
        self.pure = self.pure or self.style == "functional"
        for match in self.matches:
            self._bases.setdefault(match.base, []).append(match)

    def variable(self, match: Match, collection: str, nnx_path: TreePath) -> TreePath:
        """Where a variable of a model goes; `collection` is the one that it comes from."""
        return self._boxed((*self.model_node(match, collection), *nnx_path))

    def copied(self, copy: Copy, nnx_path: TreePath) -> TreePath:
        """Where a leaf of a copy of the parameters goes."""
        return self._boxed((*self.copy_node(copy), *nnx_path))

    def copy_node(self, copy: Copy) -> TreePath:
        """Where a copy of the parameters goes."""
        if self.in_place:
            return copy.node
        node = copy.node
        names = self.locator.children[node[:-1]] if node else ()
        if (
            node
            and node[-1] in self.locator.collection_names
            and self.locator.collection_names.issuperset(names)
        ):
            node = node[:-1]  # a copy of a dict of collections; an NNX model keeps them in one tree
        return self.elsewhere(node).path

    def elsewhere(self, path: TreePath) -> Place:
        """Where a leaf or node goes that belongs to no model."""
        base = max((base for base in self._bases if path[: len(base)] == base), key=len, default=None)
        if base is None or self.in_place or len(path) == len(base):
            return Place(path)
        name, below = path[len(base)], path[len(base) + 1 :]
        if name in _OPTIMIZER_FIELDS and self.is_state(base):
            return Place((*base, *self._optimizer(base), "opt_state", *below), in_optimizer=True)
        if name == "step" and self.has_optimizer(base):
            return Place((*base, *self._optimizer(base), "step"), in_optimizer=True)
        if name == "optimizer" and self._is_nnx(base):
            return Place(path, in_optimizer=True)
        return Place(path)

    def optimizer_leaf(self, path: TreePath) -> TreePath:
        """The full path of an optimizer's variable whose place is `path`."""
        return self._boxed(without_box(path))

    def optimizer_node(self, base: TreePath) -> TreePath:
        """Where the state of the optimizer at `base` goes."""
        return (*base, *self._optimizer(base))

    def model_node(self, match: Match, collection: str) -> TreePath:
        """Where a model's state goes; in place, each collection has a node of its own."""
        if self.in_place:
            return match.nodes[collection]
        if not self.is_state(match.base):
            return (*match.base, *match.inner)
        if match.is_nnx:
            return (*match.base, match.fields["nnx"])
        return (*match.base, "model", *match.inner)

    def bases(self) -> dict[TreePath, list[Match]]:
        """The matches by the node whose fields they are."""
        return self._bases

    def is_state(self, base: TreePath) -> bool:
        """Whether `base` has fields beside the variables (a `TrainState`)."""
        if self.model_only:
            return False
        own = {name for match in self._bases[base] for name in match.fields.values()}
        return bool(own) and bool(set(self.locator.children[base]) - own)

    def has_optimizer(self, base: TreePath) -> bool:
        """Whether `base` has an optax state."""
        names = (*_OPTIMIZER_FIELDS, "optimizer") if self._is_nnx(base) else _OPTIMIZER_FIELDS
        return self.is_state(base) and any(name in names for name in self.locator.children[base])

    def _is_nnx(self, base: TreePath) -> bool:
        return any(match.is_nnx for match in self._bases[base])

    def _optimizer(self, base: TreePath) -> TreePath:
        combined = any(match.place in self.combined for match in self._bases[base])
        return () if combined else ("optimizer",)

    def _boxed(self, path: TreePath) -> TreePath:
        return path if self.pure else (*path, "value")
