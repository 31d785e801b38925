"""Methods that read several times what properties compute: they compute it once, as Linen does.

    decay = self.decay

Other code gets the same values, but gradients would be added up in another order.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence

from nnx_migrate.linen.classes.model import Method
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.names.parents import Parents
from nnx_migrate.nnx.writer.constructor.computed.slices import Computed
from nnx_migrate.nnx.writer.constructor.computed.statements import Leaf, defined, targets
from nnx_migrate.nnx.writer.text import indentation
from nnx_migrate.sources.text import Edit, SourceText

_REPEATING = (ast.For, ast.While, ast.FunctionDef, ast.Lambda, ast.comprehension, ast.ListComp, ast.DictComp)


class SharedReads:
    """The reads of one method's code that local variables take the place of."""

    def __init__(self, computed: Computed, alone: Iterable[ast.Assign], method: Method, own: bool) -> None:
        """`alone` are the statements that are properties by themselves; `own` is a method of the class itself."""
        self.names: dict[ast.AST, str] = {}
        self.lines: list[str] = []
        self.method = method
        self._used = {n.id for n in ast.walk(method.node) if isinstance(n, ast.Name)}
        self._used |= defined(method.node) | {n.arg for n in ast.walk(method.node) if isinstance(n, ast.arg)}
        first = next((s for s in method.node.body if not _is_text(s)), None)
        if not own or first is None or first.lineno == method.node.lineno or method.name == "setup":
            return
        self.first = first
        for one in computed.slices:
            self._share(one.names, one.method if _is_total(computed.body, one.writers) else "")
        for statement in alone:
            self._share(tuple(t.attr for t in targets(statement) if isinstance(t, ast.Attribute)), "")

    def _share(self, names: Sequence[str], method: str) -> None:
        """Give attributes that have their values together local variables; without a method, each for itself."""
        if len(names) > 1 and not method:
            return
        nodes = [n for n in ast.walk(self.method.node) if is_of_self(n) and n.attr in names]
        parents = self.method.owner.module.parents
        if not nodes or (len(nodes) == 1 and not self._is_repeated(nodes[0], parents)):
            return
        local = {name: self._fresh(name) for name in names}
        self.names |= {node: local[node.attr] for node in nodes}
        value = f"self.{method}()" if method else f"self.{names[0]}"
        self.lines.append(f"{', '.join(local.values())} = {value}")

    def _is_repeated(self, node: ast.AST, parents: Parents) -> bool:
        around = parents.get(node)
        while around is not None and around is not self.method.node:
            if isinstance(around, _REPEATING):
                return True
            around = parents.get(around)
        return False

    def _fresh(self, attribute: str) -> str:
        name = wanted = attribute.strip("_") or attribute
        while name in self._used:
            name = f"{name}_value" if name == wanted else f"{name}_"
        self._used.add(name)
        return name

    def edits(self, source: SourceText) -> list[Edit]:
        """The lines that compute the values, in front of the method's others."""
        if not self.lines:
            return []
        start, indent = source.line_start(self.first.lineno), indentation(source, self.first.lineno)
        gap = "\n" if isinstance(self.first, ast.FunctionDef) else ""
        return [Edit(start, start, "".join(f"{indent}{line}\n" for line in self.lines) + gap)]


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_total(body: Sequence[ast.stmt], writers: Collection[Leaf]) -> bool:
    """Whether one of the statements runs whichever way `setup` goes, unless that fails."""
    for statement in body:
        if statement in writers or isinstance(statement, ast.Raise):
            return True
        if isinstance(statement, ast.If):
            if _is_total(statement.body, writers) and _is_total(statement.orelse, writers):
                return True
    return False
