"""Modes of layers that functions outside of the class bound: the class's calls of these gave them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.late_calls import mode_arguments
from nnx_migrate.linen.chosen.layers import LayerChoice, mode_of
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Partial
from nnx_migrate.nnx.writer.text import one_line, rewritten

if TYPE_CHECKING:
    from nnx_migrate.linen.analysis import ClassAnalysis
    from nnx_migrate.nnx.writer.names import FileNames

_ATOMS = (ast.Name, ast.Attribute, ast.Constant, ast.Call, ast.Subscript)


class OutsideModes:
    """Those of one class, by the expression that the function binds."""

    def __init__(self, analysis: ClassAnalysis, names: FileNames, text: Callable[[ast.AST], str]) -> None:
        self.names, self._text = names, text
        self._given: dict[ast.AST, list[dict[str, ast.expr]]] = {}
        for call in analysis.facts.late_calls:
            choice = analysis.facts.values[(), call]
            for maker in choice.makers if isinstance(choice, LayerChoice) else ():
                mode = mode_of(maker)
                if isinstance(maker, Partial) and mode is not None:
                    self._given[mode.value] = mode_arguments(analysis.facts, maker.call)

    def read(self, mode: ast.AST) -> list[ast.expr]:
        """The expressions of the class of which a mode is made: itself, or what a function got."""
        given = self._given.get(mode)
        if given is None:
            return [mode] if isinstance(mode, ast.expr) else []
        return [argument for arguments in given for argument in arguments.values()]

    def text(self, node: ast.AST) -> str:
        """An expression as calls of the class write it. Raises Refuse."""
        given = self._given.get(node)
        if given is None:
            return self._text(node)
        texts = {self._mode(node, arguments) for arguments in given}
        if len(texts) > 1:
            raise Refuse("mode-flag", "a function that chooses a layer gets several modes", node)
        return texts.pop()

    def _mode(self, mode: ast.AST, arguments: dict[str, ast.expr]) -> str:
        def text(node: ast.AST) -> str | None:
            given = arguments.get(node.id) if isinstance(node, ast.Name) else None
            if given is None:
                return None
            written = one_line(self._text(given))
            return written if node is mode or isinstance(given, _ATOMS) else f"({written})"

        if (
            isinstance(mode, ast.UnaryOp)
            and isinstance(mode.op, ast.Not)
            and isinstance(mode.operand, ast.Name)
        ):
            given = arguments.get(mode.operand.id)
            if isinstance(given, ast.UnaryOp) and isinstance(given.op, ast.Not):
                return f"bool({one_line(self._text(given.operand))})"  # not `not (not frozen)`
        return one_line(rewritten(self.names.home_of(mode).source, mode, text))
