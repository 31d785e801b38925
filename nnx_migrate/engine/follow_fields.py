"""Followed values in fields of the project's dataclasses: `TrainState(optimizer=...)`, `state.optimizer`."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnx_migrate.engine.follow_kinds import Holder, Kind
from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module

if TYPE_CHECKING:
    from nnx_migrate.engine.follow import Follower

_DATACLASSES = {
    "flax.struct.dataclass", "flax.struct.PyTreeNode", "dataclasses.dataclass", "chex.dataclass",
    "typing.NamedTuple",
}  # fmt: skip
_Calls = dict[str, list[tuple[Module, ast.Call]]]


@dataclass
class Fields:
    """Which fields hold followed values; the classes' instances are followed, too, as `Holder`s."""

    follower: Follower
    followed: dict[tuple[str, str], Kind] = field(default_factory=dict)
    constructed: _Calls = field(default_factory=dict)
    replaced: _Calls = field(default_factory=dict)

    def attribute(self, module: Module, node: ast.Attribute, kind: Holder) -> None:
        """`instance.attr`."""
        followed = self.followed.get((kind.owner, node.attr))
        parent = module.parents[node]
        if isinstance(node.ctx, ast.Store):
            self.follower.escape(module, node, "a field of the object that holds it is assigned")
        elif followed is not None:
            self.follower.add(module, node, followed)
        elif node.attr in ("replace", "_replace") and isinstance(parent, ast.Call) and parent.func is node:
            if any(k.arg is None for k in parent.keywords):
                self.follower.escape(module, parent, "`**` hides which fields are replaced")
            self.replaced.setdefault(kind.owner, []).append((module, parent))
            self.follower.add(module, parent, kind)
        elif node.attr not in self.names(kind.owner):
            self.follower.escape(module, node, f"`.{node.attr}` of the object that holds it is used")

    def names(self, owner: str) -> list[str]:
        """The fields that a class declares, in order."""
        definition = self.follower.project.definition(owner)
        body = definition.node.body if definition and isinstance(definition.node, ast.ClassDef) else []
        return [s.target.id for s in body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]

    def store(
        self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword, kind: Kind, owner: str
    ) -> None:
        """A value goes into a field, through the constructor or `replace`."""
        names = self.names(owner)
        name = passed.arg if isinstance(passed, ast.keyword) else None
        if isinstance(passed, ast.expr) and not any(isinstance(a, ast.Starred) for a in call.args):
            index = call.args.index(passed)
            name = names[index] if index < len(names) else None
        if name not in names or name is None:
            self.follower.escape(module, call, f"which field of `{owner}` it goes to is open")
            return
        known = self.followed.get((owner, name))
        if known == kind:
            return
        if known is not None:
            self.follower.escape(module, call, f"field `{name}` of `{owner}` holds different things")
            return
        self.followed[owner, name] = kind
        self._hold(module, owner)

    def _hold(self, module: Module, owner: str) -> None:
        """Follow every instance of a class that holds a followed value."""
        definition = self.follower.project.definition(owner)
        assert definition is not None and isinstance(definition.node, ast.ClassDef)
        holder = Holder(owner)
        for value in [v for v in self.follower.values.values() if v.kind == holder]:
            self.follower.queue.append(value)  # a second field: its reads were not known before
        if owner in self.constructed:
            return
        self.constructed[owner] = []
        cls = definition.node
        for other, mention in self.follower.callees.mentions(cls.name, definition.module):
            if self.follower.callees.name(other, mention) != owner:
                continue
            parent = other.parents[mention]
            if isinstance(parent, ast.Call) and parent.func is mention:
                self.constructed[owner].append((other, parent))
                self.follower.add(other, parent, holder)
            elif isinstance(parent, ast.ClassDef | ast.Attribute) or (
                isinstance(parent, ast.Call) and mention in parent.args
            ):
                self.follower.escape(other, mention, f"`{cls.name}` is derived from or used as a value")
        for node in ast.walk(cls):
            own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if own and node.value.id == self_name(node, definition.module):  # type: ignore[attr-defined]
                followed = self.followed.get((owner, node.attr))  # type: ignore[attr-defined]
                if followed is not None:
                    self.follower.add(definition.module, node, followed)  # type: ignore[arg-type]

    def owner(self, module: Module, call: ast.Call) -> str | None:
        """The project dataclass that a call constructs."""
        name = self.follower.callees.name(module, call.func)
        definition = self.follower.project.definition(name) if name else None
        if definition is None or not isinstance(definition.node, ast.ClassDef):
            return None
        cls = definition.node
        marks = [d.func if isinstance(d, ast.Call) else d for d in cls.decorator_list]
        kinds = [self.follower.callees.name(definition.module, m) for m in [*marks, *cls.bases]]
        return name if len(cls.bases) <= 1 and any(k in _DATACLASSES for k in kinds) else None
