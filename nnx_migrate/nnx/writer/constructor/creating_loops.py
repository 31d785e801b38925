"""The loops of `setup` that create what the loops of other methods call."""

from __future__ import annotations

import ast

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.values import Iterated, ModuleList


def creating_loop(analysis: ClassAnalysis, loop: ast.For) -> ast.AST | None:
    """The loop of setup that creates the modules over which a method's loop runs."""
    values = [v for (_, node), v in analysis.facts.values.items() if node is loop.iter]
    while values:
        value = values.pop()
        if isinstance(value, Iterated) and value.kind in ("enumerate", "zip"):
            values.extend(value.args)
        elif isinstance(value, ModuleList):
            return value.rounds.loop if value.rounds is not None else None
    return None
