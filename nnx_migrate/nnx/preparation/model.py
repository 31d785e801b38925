"""What a preparation is."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from nnx_migrate.engine.findings import Fix
from nnx_migrate.linen.classes.model import LinenClass


@dataclass(frozen=True)
class Preparation:
    """A change for a class that may move with it: where it stands, and what it does, for a person.

    All of the classes that it edits have to move with it, and one at least for which it is made; that is `cls` itself
    unless these are given by their qualified names.
    """

    cls: LinenClass
    node: ast.AST
    message: str
    fix: Fix
    edited: frozenset[str] = frozenset()
    helped: frozenset[str] = frozenset()

    def helps(self, before: Collection[str], after: Collection[str]) -> bool:
        """Whether it does so, by the classes that move without it and with it."""
        if not self.helped:
            return self.cls.qualified in after
        return all(name in after for name in self.edited) and any(
            name in after and name not in before for name in self.helped
        )
