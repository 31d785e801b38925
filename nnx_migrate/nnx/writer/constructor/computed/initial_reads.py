"""Parameters that the first values of others depend on: `self.param("gamma", gamma_init, (3,), self.rate)`.

Linen asks for the first value once, when the model is initialised, with the first value of the other parameter. So
does the constructor.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.sites import VariableSite
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.constructor.computed.statements import Statements, leaves


def initial_reads(analysis: ClassAnalysis, setup: Method) -> dict[ast.AST, VariableSite]:
    """Where initializers read attributes that parameters made before them are, with these."""
    statements, found = Statements(analysis, setup), dict[ast.AST, VariableSite]()
    body = list(leaves(setup.node.body))
    made = [v for leaf in body if statements.stores(leaf) for v in statements.made(leaf)]
    stores = [n for n in ast.walk(setup.node) if is_of_self(n) and not isinstance(n.ctx, ast.Load)]
    for variable in statements.variables.values():
        if not variable.is_param or variable.method != "setup":
            continue
        for node in ast.walk(variable.call):
            if not is_of_self(node) or not isinstance(node.ctx, ast.Load):
                continue
            given = [v for v in made if v.attribute == node.attr]
            only = len([n for n in stores if n.attr == node.attr]) == len(given) == 1
            if only and _is_plain(given[0]) and given[0].call.lineno < variable.call.lineno:
                found[node] = given[0]
    return found


def _is_plain(variable: VariableSite) -> bool:
    unusual = variable.is_reference or variable.by_calls or variable.place or variable.loops
    return variable.is_param and not unusual and not variable.has_axes
