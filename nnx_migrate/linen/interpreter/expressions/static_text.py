"""Expressions that the constructor can compute, as the text that computes them."""

from __future__ import annotations

import ast
import builtins
import re
from functools import lru_cache
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.dims.notation import is_enclosed
from nnx_migrate.linen.interpreter.convert import text_of
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Expr, SelfValue
from nnx_migrate.names.nodes import all_below

_STRING = re.compile(r"""(["'])[^"'\\]*\1""")


def static_or_unknown(frame: Frame, node: ast.expr, kind: str = "", why: str = "") -> Any:
    """The value of an expression that the constructor can compute, or Unknown."""
    text = static_text(frame, node)
    return Expr(text, kind) if text else Unknown(why or f"`{unparsed(node)}` can't be followed")


@lru_cache(maxsize=1 << 12)
def unparsed(node: ast.expr) -> str:
    """The source of an expression in its normal form."""
    return ast.unparse(node)


def static_text(frame: Frame, node: ast.expr) -> str | None:
    """The source of a static expression with local variables replaced by what they stand for."""
    if frame.foreign or not is_static(frame, node) or (frame.is_elsewhere and _reads_globals(frame, node)):
        return None
    names = [n for n in all_below(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    slots = [frame.lookup(name.id) for name in names]
    if all(slot is None or isinstance(slot.value, SelfValue) for slot in slots):
        return unparsed(node)
    replaced: list[bool] = []

    class Inline(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:
            slot = frame.lookup(name.id)
            if slot is None or not isinstance(name.ctx, ast.Load) or isinstance(slot.value, SelfValue):
                return name
            text = text_of(slot.value)
            if text is None:
                replaced.append(False)
                return name
            return ast.Name(
                f"({text})" if not text.replace("§", "_").replace(".", "_").isidentifier() else text
            )

    import copy

    text = ast.unparse(Inline().visit(copy.deepcopy(node)))
    return None if replaced else text


def _reads_globals(frame: Frame, node: ast.expr) -> bool:
    """Whether an expression reads names of its file, builtins apart; its own ones count, too."""
    names = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and frame.lookup(n.id) is None)
    return any(
        frame.module.scopes.module.binder(name) is not None or not hasattr(builtins, name) for name in names
    )


def wrapped(text: str) -> str:
    """A text in parentheses, where an operator next to it could tear it apart."""
    simple = (
        text.replace(".", "", 1).isalnum()
        or text.replace(".", "").isidentifier()
        or TOKEN.fullmatch(text) is not None
        or _STRING.fullmatch(text) is not None
    )
    return text if simple or is_enclosed(text) else f"({text})"
