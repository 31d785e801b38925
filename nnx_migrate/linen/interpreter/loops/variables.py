"""The variables of loops, which are symbols of their own in each round."""

from __future__ import annotations

import ast

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.sites import Context
from nnx_migrate.linen.symbols import token


def loop_variable(frame: Frame, node: ast.AST, name: str, context: Context | None = None) -> str:
    """The symbol of a loop's variable."""
    context = frame.context if context is None else context
    number = frame.session.number_of(("variable", id(node), context, name))
    found = token(name, "l", number)
    frame.session.loop_symbols.setdefault(id(node), set()).add(found)
    return found
