"""Constructions that bind a variable: `Dense(width := 2 * self.width)`."""

from __future__ import annotations

import ast

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below


def check_no_walrus(module: Module, site: Site) -> None:
    """Refuse `Dense(width := ...)` where the method, which loses the construction, reads the variable."""
    inner = set(all_below(site.call))
    bound = {n.target.id for n in inner if isinstance(n, ast.NamedExpr)}
    function = module.enclosing(site.call, ast.FunctionDef) if bound else None
    for node in all_below(function) if function is not None else ():
        if isinstance(node, ast.Name) and node.id in bound and node not in inner:
            detail = f"`{node.id}` gets its value within the construction of a module"
            raise Refuse("unsupported-syntax", detail, site.call)
