"""What a `Follower` follows, and what a rule has to tell it."""

from __future__ import annotations

import ast
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from nnx_migrate.engine.callees import Callee
from nnx_migrate.names.modules import Module

Kind = Hashable
DONE = "done"  # the use is understood, and nothing follows from it


@dataclass(frozen=True)
class Element:
    """A tuple (or list) of `size` elements, of which number `index` is followed."""

    index: int
    size: int
    kind: Kind

    @property
    def depth(self) -> int:
        """How many tuples are around the value. A function that wraps its own result would nest for ever."""
        return 1 + (self.kind.depth if isinstance(self.kind, Element) else 0)


@dataclass(frozen=True)
class Holder:
    """An instance of a dataclass of the project that has a followed value in a field."""

    owner: str


@dataclass(frozen=True)
class Function:
    """A function of the project that gets or returns followed values."""

    callee: Callee


@dataclass(frozen=True)
class Value:
    """An expression that evaluates to a followed value."""

    module: Module
    node: ast.expr
    kind: Kind


@dataclass(frozen=True)
class Escape:
    """Where a value gets out of sight, and how."""

    module: Module
    node: ast.AST
    why: str


class Semantics(Protocol):
    """What a rule knows about its values. None: not understood, the value escapes."""

    def attribute(self, value: Value, node: ast.Attribute) -> tuple[ast.expr, Kind] | None:
        """`value.attr`: the expression that it leads to (the access, or a method's call), and its kind."""

    def passed(self, value: Value, call: ast.Call, callee: str | None) -> Kind | None:
        """The value is an argument of a function outside of the project: the kind of the call."""

    def called(self, value: Value, call: ast.Call) -> Kind | None:
        """The value itself is called: the kind of the call."""

    def other(self, value: Value, parent: ast.AST) -> Kind | None:
        """Any other use inside of `parent`: the kind of `parent` (an expression)."""
