"""Methods of models that get parameters, and name some of them: `def decay_mask(self, params)`."""

from __future__ import annotations

import ast

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.programs.renames import AUTOMATIC

_OF_VARIABLES = frozenset({"variables", "get_variable", "put_variable", "has_variable", "scope"})


def is_of_given_parameters(module: Module, node: ast.Constant) -> bool:
    """Whether a string in a Linen class is a name that Linen gave a submodule, as a key of what its method gets.

    The module's own variables are rewritten with the class.
    """
    if AUTOMATIC.fullmatch(str(node.value)) is None:
        return False
    function = module.enclosing(node, ast.FunctionDef)
    return function is not None and not any(
        isinstance(n, ast.Attribute) and last_name(n) in _OF_VARIABLES for n in ast.walk(function)
    )


def stays_as_it_is(conversion: ClassConversion, module: Module, node: ast.AST) -> bool:
    """Whether the method around a node is none that the conversion of its class rewrites."""
    function = module.enclosing(node, ast.FunctionDef)
    if function is None:
        return False
    start, end = module.source.span(function)
    return not any(edit.start < end and start < edit.end for edit in conversion.edits)
