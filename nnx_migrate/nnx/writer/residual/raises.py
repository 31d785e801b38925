"""Errors for configurations that there aren't: `else: raise ValueError(self.kind)` behind what creates modules."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.residual.nodes import Line, Node
from nnx_migrate.nnx.writer.text import unwrapped


def with_raises(
    renderer: InitRenderer, statement: ast.If, test: str, body: list[Node], orelse: list[Node]
) -> tuple[list[Node], list[Node]]:
    """The branches of a condition in the constructor, with the error that one of them raises.

    `test` is the condition as the constructor has it. Where a call knows more of it, only the call may raise.
    """
    try:
        known = unwrapped(renderer.text(statement.test)) == test
        found = [
            _raised(renderer, b) if known and not n else None
            for b, n in ((statement.body, body), (statement.orelse, orelse))
        ]
    except Refuse:
        return body, orelse
    return (body if found[0] is None else [found[0]]), (orelse if found[1] is None else [found[1]])


def _raised(renderer: InitRenderer, branch: Sequence[ast.stmt]) -> Node | None:
    """The only thing that a branch does, if that is to raise."""
    if len(branch) != 1 or not isinstance(branch[0], ast.Raise):
        return None
    line = Line(renderer.text(branch[0]))
    renderer.raises.add(branch[0])
    return line
