"""Names that statements bind."""

from __future__ import annotations

import ast


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
