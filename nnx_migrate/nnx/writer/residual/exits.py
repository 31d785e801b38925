"""`if` statements that may leave a compact method in front of what creates modules."""

from __future__ import annotations

import ast

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.values import Input, SelfValue
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.residual.free import is_free


def needs_exit(writer: ConstructionWriter, context: Context, statement: ast.If) -> bool:
    """Whether modules with variables are created behind an `if` that may leave the method."""
    analysis = writer.analysis
    facts = analysis.facts
    created = [site for site in facts.sites.values() if not is_free(writer, site)]
    later: list[Site | VariableSite] = [*created, *facts.variables.values()]
    below = [s for s in later if any(c.node is statement and c.branch == "after" for c in s.controls)]
    if not below:
        return False
    is_asked = isinstance(facts.values.get((context, statement.test)), NoneTest)
    if is_asked or _is_static_test(analysis, context, statement.test):
        return True
    if not _default_skips(analysis, context, statement):
        raise Refuse(
            "dynamic-construction", "modules are created behind a `return` that a call decides", statement
        )
    return False


def _is_static_test(analysis: ClassAnalysis, context: Context, test: ast.expr) -> bool:
    facts = analysis.facts

    def is_late(node: ast.AST) -> bool:
        is_self = isinstance(facts.values.get((context, node)), SelfValue)
        is_read = isinstance(node, ast.Name | ast.Attribute) and not is_self
        return is_read and facts.static_names.get((context, node)) is False

    return not any(is_late(node) for node in ast.walk(test))


def _default_skips(analysis: ClassAnalysis, context: Context, statement: ast.If) -> bool:
    """Whether the method doesn't leave here with the defaults of its arguments."""
    exits = analysis.facts.exits.get((context, statement))
    test, wanted = statement.test, exits != "body"
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, wanted = test.operand, not wanted
    value = analysis.facts.values.get((context, test))
    return isinstance(value, Input) and value.has_default and bool(value.default) is wanted
