"""Names that statements bind."""

from __future__ import annotations

import ast
from collections.abc import Set
from typing import TypeGuard

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse


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


def check_helper_names(
    analysis: ClassAnalysis,
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    needed: Set[str],
    call: ast.AST,
) -> None:
    """Refuse a helper whose variables would take the place of those of the class's own code.

    `needed` are the variables that the constructor has.
    """
    own = {n.id for n in ast.walk(function) if is_stored(n)} & needed
    parts = set(ast.walk(function))
    methods = [method.node for method in analysis.cls.own_methods.values()]
    for node in (n for method in methods for n in ast.walk(method)):
        if is_stored(node) and node not in parts and node.id in own:
            detail = f"`{node.id}` is a variable of a helper function and of its caller"
            raise Refuse("name-clash", detail, call)
