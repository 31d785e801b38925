"""Parameters that `setup` keeps in lists and dicts, where methods read them.

`self.weights[i]` becomes `self.weights[i][...]`; who takes all of them gets their values, as Linen's tuple has them.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.words import singular

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor

#: Functions that go through what they get, whatever kind of sequence it is.
_GOING = frozenset({"enumerate", "list", "reversed", "sum", "tuple", "zip"})


class ListedVariables:
    """The expressions of one method that read such lists and dicts."""

    def __init__(self, editor: BodyEditor) -> None:
        self.editor = editor
        held = [variable for variable in editor.analysis.variables if variable.place]
        self.names = {v.attribute for v in held}
        self.lists = {v.attribute for v in held if v.place[0].isdigit() or v.place[0].startswith("{")}

    def replacement(self, node: ast.AST) -> str | None:
        """The new text of such an expression, None for all others."""
        if not self.names:
            return None
        if isinstance(node, ast.Subscript) and self._is_held(node.value):
            read = f"{self._text(node.value)}[{self.editor.text(node.slice)}]"
            return self._all(node, read) if isinstance(node.slice, ast.Slice) else f"{read}[...]"
        if isinstance(node, ast.Call) and self._gives_values(node):
            return f"[value[...] for value in {self._text(node)}]"
        if not self._is_held(node) or self._is_counted(node):
            return None
        return self._all(node, self._text(node))

    def _is_held(self, node: ast.AST) -> bool:
        return is_of_self(node) and isinstance(node.ctx, ast.Load) and node.attr in self.names

    def _gives_values(self, call: ast.Call) -> bool:
        """Whether a call is `self.constants.values()`."""
        function = call.func
        return (
            isinstance(function, ast.Attribute)
            and function.attr == "values"
            and self._is_held(function.value)
        )

    def _text(self, node: ast.AST) -> str:
        return self.editor.source.segment(node)

    def _is_counted(self, node: ast.AST) -> bool:
        call = self._around(node)
        return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "len"

    def _around(self, node: ast.AST) -> ast.AST | None:
        return self.editor.names.module.parents.get(node)

    def _all(self, node: ast.AST, text: str) -> str:
        """The values of all of them."""
        held = node.value if isinstance(node, ast.Subscript) else node
        assert isinstance(held, ast.Attribute)
        if held.attr not in self.lists:
            return f"{{key: value[...] for key, value in {text}.items()}}"
        one = singular(held.attr) if singular(held.attr) != held.attr else "value"
        inside = f"{one}[...] for {one} in {text}"
        return f"[{inside}]" if self._is_gone_through(node) else f"tuple({inside})"

    def _is_gone_through(self, node: ast.AST) -> bool:
        """Whether a list does where Linen has a tuple."""
        around = self._around(node)
        if isinstance(around, ast.For | ast.comprehension):
            return around.iter is node
        if isinstance(around, ast.Assign):
            return isinstance(around.targets[0], ast.Tuple | ast.List)
        if not isinstance(around, ast.Call) or node not in around.args:
            return False
        if isinstance(around.func, ast.Name) and around.func.id in _GOING:
            return True
        called = self.editor.analysis.cls.resolve_in_class(around.func)
        return called is not None and called.startswith("jax.numpy.")
