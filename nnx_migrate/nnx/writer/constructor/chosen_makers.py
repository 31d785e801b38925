"""Functions that choose a module for `setup`: `self.norm = make_norm(self.kind)`.

The constructor takes the choice itself, with the sizes of the module's inputs:

    if self.kind == "rms":
        self.norm = nnx.RMSNorm(self.width, rngs=rngs)
    else:
        raise ValueError(self.kind)
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self, is_self
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.text import call_text, indentation, unwrapped


def check_places(module: Module, calls: Mapping[ast.AST, Sequence[Site]]) -> None:
    """Refuse calls of such functions that are more, or less, than the value of an attribute."""
    for call in calls:
        statement = module.parents.get(call)
        is_whole = isinstance(statement, ast.Assign) and len(statement.targets) == 1
        if not (is_whole and is_of_self(statement.targets[0]) and statement.value is call):  # type: ignore[union-attr]
            detail = "a function that chooses a module is called within an expression"
            raise Refuse("unsupported-syntax", detail, call)


def written_choice(
    writer: ConstructionWriter,
    statement: ast.Assign,
    sites: Sequence[Site],
    setup: ast.FunctionDef | ast.AsyncFunctionDef,
    limit: int,
) -> str:
    """The statements that give an attribute its module in place of this one of `setup`."""
    source = writer.names.module.source
    indent, outer = (indentation(source, node.lineno) for node in (statement, setup))
    unit = indentation(source, setup.body[0].lineno)[len(outer) :]
    target = source.segment(statement.targets[0])
    return _Choice(writer, statement.value, sites, target, unit, limit).text(indent)


class _Choice:
    """One call of such a function, and the modules that it chooses from."""

    def __init__(
        self,
        writer: ConstructionWriter,
        call: ast.AST,
        sites: Sequence[Site],
        target: str,
        unit: str,
        limit: int,
    ) -> None:
        self.writer, self.renderer, self.context = writer, writer.renderer, (call,)
        self.target, self.unit, self.limit = target, unit, limit
        closure = writer.analysis.facts.functions[(), call]
        assert isinstance(closure.node, ast.FunctionDef)
        self.function, self.is_method = closure.node, closure.self_value is not None
        self.by_node: dict[ast.AST | None, Site] = {site.call: site for site in sites}

    def text(self, indent: str) -> str:
        """The statements, the first one without its indentation."""
        return "\n".join(self._block(self.function.body, indent)).removeprefix(indent)

    def _block(self, body: Sequence[ast.stmt], indent: str) -> list[str]:
        for index, statement in enumerate(body):
            if isinstance(statement, ast.If):
                return self._if(statement, body[index + 1 :], indent)
            if isinstance(statement, ast.Return):
                site = self.by_node.get(statement.value)
                if site is None:
                    detail = "a function chooses a module that isn't known"
                    raise Refuse("unsupported-syntax", detail, statement)
                prefix = f"{self.target} = "
                made = call_text(*self.writer.parts(site), indent, prefix, self.limit)
                return [indent + prefix + made]
            if isinstance(statement, ast.Raise):
                return [indent + self._raise(statement)]
        detail = "a function that chooses a module may return none"
        raise Refuse("unsupported-syntax", detail, body[-1] if body else None)

    def _raise(self, statement: ast.Raise) -> str:
        """An error of the function, about what its call gives."""
        given = {
            name: self.renderer.text(node, outer)
            for (context, name), (outer, node) in self.writer.analysis.facts.arguments.items()
            if context == self.context
        }
        spec = self.function.args
        own = {a.arg for a in ast.walk(spec) if isinstance(a, ast.arg)}
        if self.is_method:
            own -= {n.id for n in ast.walk(statement) if is_self(n)}  # the constructor's own
        read = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)} & own
        quoted = any(isinstance(n, ast.JoinedStr) for n in ast.walk(statement)) and any(
            mark in given.get(name, "") for name in read for mark in "\"'"
        )
        if quoted or read - given.keys():
            detail = "an error that can't be raised by the constructor"
            raise Refuse("unsupported-syntax", detail, statement)
        with self.renderer.substituting(given):
            return self.renderer.text(statement, self.context)

    def _if(self, statement: ast.If, rest: Sequence[ast.stmt], indent: str) -> list[str]:
        """A condition; what stands behind it belongs to the branches that go on."""
        decided = self.writer.analysis.facts.decided.get((self.context, statement))
        if decided is not None:
            return self._block([*(statement.body if decided else statement.orelse), *rest], indent)
        test = unwrapped(self.renderer.text(statement.test, self.context))
        inner = indent + self.unit
        body = self._block([*statement.body, *rest], inner)
        other = [*statement.orelse, *rest]
        lines = [f"{indent}if {test}:", *body]
        first = next((one for one in other if not isinstance(one, ast.Expr)), None)
        if isinstance(first, ast.If):
            further = self._block(other, indent)
            return [*lines, f"{indent}el{further[0].strip()}", *further[1:]]
        return [*lines, f"{indent}else:", *self._block(other, inner)]
