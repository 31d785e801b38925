"""What a computed text may be: `f"get_{name}_config"`, an entry of a table, what callers hand over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.names.modules import Module

ANYTHING = ".*"
_MAX_DEPTH = 4
_MAX_RESULTS = 200
_REPLACED = re.compile(r"\{[^{}]*\}|%[-\d.]*[srdif]")


class Texts:
    """Regular expressions that the value of an expression must match; `ANYTHING` where nothing is known."""

    def __init__(self, finder: FlowFinder) -> None:
        self.origins = Origins(finder)

    def patterns(self, module: Module, node: ast.expr, depth: int = 0) -> set[str]:
        """Every text that the expression may give, as patterns for `re.fullmatch`."""
        found: set[str] = set()
        for origin in self.origins.of(module, node) if depth <= _MAX_DEPTH else [None]:
            found.update(self._of_origin(*origin, depth) if origin is not None else [ANYTHING])
        return {ANYTHING} if ANYTHING in found or len(found) > _MAX_RESULTS else found

    def _of_origin(self, module: Module, node: ast.expr, depth: int) -> Iterator[str]:
        if isinstance(node, ast.Constant):
            yield re.escape(str(node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = [str(p.value) if isinstance(p, ast.Constant) else None for p in node.values]
            yield "".join(ANYTHING if part is None else re.escape(part) for part in parts)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            for left in self.patterns(module, node.left, depth + 1):
                yield from (left + right for right in self.patterns(module, node.right, depth + 1))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            yield _filled(node.left)
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
        ):
            yield _filled(node.func.value)
        else:
            yield ANYTHING


def _filled(node: ast.expr) -> str:
    """`"models.{}"` and `"models.%s"` with anything in the gaps."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return ANYTHING
    return ANYTHING.join(re.escape(piece) for piece in _REPLACED.split(node.value))
