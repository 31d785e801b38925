"""Sizes that conditions decide, as conditional expressions."""

from __future__ import annotations

import ast
import re

from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.sites import Phi
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.residual.by_default import conjunction, open_parts

_BEFORE = re.compile(r"(?:\w=|[(,]\s*)$")  # of a whole argument
_BEHIND = re.compile(r"[,)]")


def chosen(renderer: InitRenderer, phi: Phi, node: ast.If | ast.IfExp) -> str:
    """The size after a condition. What this only adds to the choice of another one stands behind that."""
    first, second = phi.sources
    parts = open_parts(renderer.analysis, phi.context, node.test)
    if parts == []:
        return renderer.dim(first, node)
    test = conjunction([renderer.text(part) for part in parts or [node.test]])
    more = _added(second, first)
    if more is not None:
        return f"{renderer.dim(second, node)} + ({renderer.dim(more, node)} if {test} else 0)"
    return f"{renderer.dim(first, node)} if {test} else {renderer.dim(second, node)}"


def put(text: str, token: str, expression: str) -> str:
    """A text with an expression for a token, in parentheses unless it is a whole argument."""
    parts = re.split(rf"(?<![\w.]){re.escape(token)}(?!\d)", text)
    written = parts[0]
    for part in parts[1:]:
        is_whole = _BEFORE.search(written) is not None and _BEHIND.match(part) is not None
        written += (expression if is_whole else f"({expression})") + part
    return written


def _added(before: Dim, after: Dim) -> Dim | None:
    """What a size has more than one that another condition has decided, which would be written twice."""
    is_chosen = any(match["kind"] == "p" for text in before.symbols() for match in TOKEN.finditer(text))
    if not is_chosen or any(after.terms.get(part) != number for part, number in before.terms.items()):
        return None
    return Dim({part: number for part, number in after.terms.items() if part not in before.terms})
