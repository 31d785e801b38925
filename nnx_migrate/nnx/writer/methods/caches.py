"""Caches in a method: variables that its first call makes, where NNX's constructor leaves a None.

`v = self.variable("cache", "k", jnp.zeros, shape)` becomes `if self.k is None: self.k = nnx.Cache(jnp.zeros(shape))`,
and `self.has_variable("cache", "k")` becomes `self.k is not None`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Lookup, VariableSite
from nnx_migrate.nnx.writer.construction.variables import variable_parts
from nnx_migrate.nnx.writer.methods.reached import by_node
from nnx_migrate.nnx.writer.text import call_text, indentation, one_line, rewritten
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor

_LOOSE = (
    ast.If,
    ast.IfExp,
    ast.BoolOp,
    ast.Assign,
    ast.AnnAssign,
    ast.Call,
    ast.keyword,
    ast.Return,
    ast.While,
)


def own_caches(analysis: ClassAnalysis) -> list[VariableSite]:
    """The caches that methods of the class itself make, in order."""
    return [v for v in analysis.variables if v.by_calls and v.owner is analysis.cls]


def checked_cache(analysis: ClassAnalysis, lookup: Lookup) -> VariableSite:
    """The cache that a look-up names. Raises Refuse where the class makes none of that name, or several."""
    key = (lookup.collection, lookup.name)
    made = [v for v in analysis.variables if v.by_calls and (v.collection, v.name) == key]
    if len(made) != 1:
        detail = f"`self.has_variable` for `{lookup.name}`, which the class doesn't create once"
        raise Refuse("unsupported-api", detail, lookup.node)
    return made[0]


class CacheEditor:
    """The edits of one method that concern caches."""

    def __init__(self, analysis: ClassAnalysis, editor: BodyEditor) -> None:
        self.editor, self.source, self.names = editor, editor.source, editor.names
        self.made = by_node({k: v for k, v in analysis.facts.variables.items() if v.by_calls})
        self.asked = {
            found.node: (found, checked_cache(analysis, found))
            for found in analysis.facts.lookups
            if found.by_calls
        }
        self.given: dict[str, str] = {}

    def replacement(self, node: ast.AST) -> str | None:
        """The new text of a look-up, None for other expressions."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and node.operand in self.asked:
            return f"self.{self.asked[node.operand][1].attribute} is None"
        if node in self.made:
            raise Refuse("unsupported-syntax", "a cache that isn't given a name where it is made", node)
        if node not in self.asked:
            return None
        lookup, variable = self.asked[node]
        if lookup.is_read:
            return f"self.{variable.attribute}[...]"
        text = f"self.{variable.attribute} is not None"
        parent = self.names.module.parents.get(node)
        is_callee = isinstance(parent, ast.Call) and parent.func is node
        return text if isinstance(parent, _LOOSE) and not is_callee else f"({text})"

    def statement(self, statement: ast.stmt) -> list[Edit] | None:
        """The edits of a statement that makes a cache, None for others."""
        value = statement.value if isinstance(statement, ast.Assign | ast.Expr) else None
        variable = self.made.get(value) if value is not None else None
        if variable is None:
            return None
        if isinstance(statement, ast.Assign):
            (target, *others) = statement.targets
            if others or not isinstance(target, ast.Name):
                raise Refuse("unsupported-syntax", "a cache that gets several names", statement)
        kind, made = variable_parts(self, variable)
        indent = indentation(self.source, statement.lineno)
        start, end = self.source.span(statement)
        if self.source.text[self.source.line_start(statement.lineno) : start].strip():
            raise Refuse("unsupported-syntax", "several statements on one line", statement)
        attribute, inner = f"self.{variable.attribute}", indent + self._unit
        text = call_text(
            kind, [one_line(part) for part in made], inner, f"{attribute} = ", line_limit(self.source)
        )
        return [Edit(start, end, f"if {attribute} is None:\n{inner}{attribute} = {text}")]

    @property
    def _unit(self) -> str:
        """By how much the code of the method is indented."""
        method = self.editor.method.node
        outer, inner = (indentation(self.source, line) for line in (method.lineno, method.body[0].lineno))
        return inner[len(outer) :] or "    "

    # ---- the texts of initializers, as `variable_parts` wants them --------------------------------------

    def text(self, node: ast.AST, context: Context = ()) -> str:
        """An expression of the method, with what stands for the parameters of a lambda."""
        return rewritten(self.source, node, self._replace)

    def _replace(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Name) and node.id in self.given:
            return self.given[node.id]
        return self.editor.replace(node)

    @contextmanager
    def substituting(self, names: dict[str, str]) -> Iterator[None]:
        """Put texts in place of names."""
        self.given = names
        try:
            yield
        finally:
            self.given = {}
