"""Global variables that other code may change."""

from __future__ import annotations

import ast

from nnx_migrate.names.project import Project


def is_assigned_elsewhere(name: str, project: Project) -> bool:
    """Whether something may change a global variable of that name: `config.NAME = ...`, `global NAME`."""
    for module in project.mentioning(name):
        if any(n.attr == name and not isinstance(n.ctx, ast.Load) for n in module.nodes(ast.Attribute)):
            return True
        if any(name in n.names for n in module.nodes(ast.Global)):
            return True
    return False
