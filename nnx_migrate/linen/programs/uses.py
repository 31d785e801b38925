"""What finally happens to a value that is followed through a project."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from nnx_migrate.names.modules import Module


class End(Enum):
    """What finally happens to a value."""

    ATTRIBUTE = auto()  # value.attr: `node` is the ast.Attribute
    CALL = auto()  # value(...): `node` is the ast.Call (or stands for the call that a test runner makes)
    APPLIED = auto()  # nn.apply(function, value): `node` is that call
    TABULATED = auto()  # nn.tabulate(value, key): `node` is that call
    HELD = auto()  # Wrapper(value): `node` is the call that makes a module which holds it
    ASKED = auto()  # isinstance(value, nn.Module), type(value).__name__: `node` is that call
    LOOKED_UP = auto()  # getattr(value, name): `node` is that call
    ESCAPE = auto()  # it goes where nothing can be seen: `node` is the occurrence


VMAP = frozenset({"flax.linen.vmap", "flax.linen.transforms.vmap"})
FLAX_ENDS = {
    ("flax.linen.apply", 1): End.APPLIED,
    ("flax.linen.tabulate", 0): End.TABULATED,
    ("flax.linen.summary.tabulate", 0): End.TABULATED,
}


@dataclass(frozen=True, eq=False)
class Use:
    """One end of the flow; `why` says how an escape happens, `holder` is the class of the module that gets it."""

    module: Module
    node: ast.expr
    end: End
    why: str = ""
    sure: bool = True  # False where the value came through a field that was only known by its name
    holder: ast.ClassDef | None = None


@dataclass
class Flow:
    """All uses of a value; `is_bound` where `functools.partial` gives it arguments on the way.

    `vmapped` are the calls of `nn.vmap` that it goes through, if it is a class; `calls` are all that return it.
    """

    uses: list[Use] = field(default_factory=list)
    is_bound: bool = False
    vmapped: list[tuple[Module, ast.Call]] = field(default_factory=list)
    calls: list[tuple[Module, ast.Call]] = field(default_factory=list)

    @property
    def escapes(self) -> list[Use]:
        """Where it gets out of sight."""
        return [use for use in self.uses if use.end is End.ESCAPE]

    @property
    def results(self) -> list[tuple[Module, ast.expr]]:
        """For a function: the expressions that give what it returns."""
        return [(use.module, use.node) for use in self.uses if use.end is End.CALL]

    @property
    def held(self) -> list[tuple[Module, ast.Call]]:
        """The calls that hand the value to another module."""
        return [
            (u.module, u.node) for u in self.uses if u.holder is not None and isinstance(u.node, ast.Call)
        ]

    @property
    def holders(self) -> list[ast.ClassDef]:
        """The classes whose modules get it."""
        return [use.holder for use in self.uses if use.holder is not None]

    def sure_attributes(self) -> Iterator[tuple[Module, ast.Attribute]]:
        """Reads of attributes where the value is known to be that of the expression, and those of what they give."""
        for use in self.uses:
            node: ast.AST = use.node
            while use.sure and use.end is End.ATTRIBUTE and isinstance(node, ast.Attribute):
                yield use.module, node
                node = use.module.parents[node]

    def attributes(self, *names: str) -> list[tuple[Module, ast.Attribute]]:
        """Reads of attributes of the value; all, or those named."""
        found = [
            (u.module, u.node)
            for u in self.uses
            if u.end is End.ATTRIBUTE and isinstance(u.node, ast.Attribute)
        ]
        return [(module, node) for module, node in found if not names or node.attr in names]
