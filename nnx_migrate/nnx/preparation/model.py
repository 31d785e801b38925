"""What a preparation is."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nnx_migrate.engine.findings import Fix
from nnx_migrate.linen.classes.model import LinenClass


@dataclass(frozen=True)
class Preparation:
    """A change for a class that may move with it: where it stands, and what it does, for a person."""

    cls: LinenClass
    node: ast.AST
    message: str
    fix: Fix
