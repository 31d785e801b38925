"""Names that statements bind."""

from __future__ import annotations

import ast
from typing import TypeGuard


def assigned_names(statement: ast.stmt) -> set[str]:
    """Names that a simple statement binds."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign | ast.For):
        targets = [statement.target]
    elif isinstance(statement, ast.FunctionDef):
        return {statement.name}
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}


def is_stored(node: ast.AST) -> TypeGuard[ast.Name]:
    """Whether a node gives a variable a value."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
