"""Methods that make layers for `setup`: `self.stem = self._conv(64)`.

The constructor makes the layers where setup called for them, with the sizes of their inputs; the methods go.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.classes.post_init import NAME
from nnx_migrate.linen.interpreter.calls.forwarded import only_spread
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.names.nodes import is_self
from nnx_migrate.nnx.writer.methods.reached import choosers, inside_maker, makers
from nnx_migrate.sources.text import Edit, SourceText


def setup_makers(analysis: ClassAnalysis) -> list[Method]:
    """The methods of the class that make layers for setup and do nothing else. Raises Refuse for those that do more.

    What they make counts as made by setup from here on.
    """
    own = [method for owner in analysis.cls.mro for method in owner.own_methods.values()]
    by_node = {node: method for method in own for node in ast.walk(method.node)}
    found: dict[Method, None] = {}
    kept = set(analysis.setup_helpers.values())
    created: list[Site | VariableSite] = [*analysis.sites, *analysis.variables]
    for made in (one for one in created if one.entry == "setup"):
        ways = [by_node[node] for node in (*made.context, made.call) if node in by_node]
        for method in (way for way in ways if way not in kept and way.name not in ("setup", NAME)):
            is_made = isinstance(made, Site) and inside_maker(analysis, made)
            if not is_made or not only_makes(method) or not _only_called(analysis, method):
                detail = f"`{method.name}`, which `setup` calls, creates modules or variables"
                raise Refuse("unsupported-syntax", detail, made.call)
            made.method = "setup"
            found[method] = None
    return [method for method in found if method.owner is analysis.cls]


def without_methods(source: SourceText, methods: Sequence[Method]) -> list[Edit]:
    """The edits that remove methods, with the comments and decorators above them and the blank lines beside them."""
    found: list[Edit] = []
    for method in sorted(methods, key=lambda method: method.node.lineno):
        first = min(node.lineno for node in (method.node, *method.node.decorator_list))
        last = method.node.end_lineno or first
        while source.line_text(first - 1).strip().startswith("#"):
            first -= 1
        while not source.line_text(last + 1).strip() and last < source.line_count:
            last += 1
        start, end = source.line_start(first), source.line_start(last + 1)
        if found and found[-1].end == start:
            start = found.pop().start
        if method.node is method.owner.node.body[-1]:  # nothing behind the class changes
            start, end = len(source.text[:start].rstrip()), source.span(method.node)[1]
        found.append(Edit(start, end, ""))
    return found


def only_makes(method: Method) -> bool:
    """Whether a method returns what it makes, without anything beside that: no default is computed, nothing is set."""
    if method.kind != "method" or method.transforms or not isinstance(method.node, ast.FunctionDef):
        return False
    args = method.node.args
    hands_on = all(only_spread(method.node, a.arg) for a in (args.vararg, args.kwarg) if a is not None)
    return hands_on and all(map(_only_returns, method.node.body))


def _only_returns(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return all(map(_only_returns, [*statement.body, *statement.orelse]))
    return isinstance(statement, ast.Return | ast.Raise) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _only_called(analysis: ClassAnalysis, method: Method) -> bool:
    """Whether nothing mentions a method but calls for the constructor, and no subclass has another one."""
    calls = [*makers(analysis), *choosers(analysis)]
    cls, called = analysis.cls, {call.func for call in calls if isinstance(call, ast.Call)}
    family = [other for other in analysis.session.program if cls in other.mro]
    if any(method.name in other.own_methods for other in family if other is not cls):
        return False
    nodes = {node for other in family for node in ast.walk(other.node)}
    for node in _mentions(cls, method.name):
        elsewhere = is_self(node.value) and node not in nodes
        if node not in called and not elsewhere:
            return False
    return True


def _mentions(cls: LinenClass, name: str) -> Iterator[ast.Attribute]:
    """Every attribute of that name in the project."""
    for module in cls.program_project.matching(re.compile(rf"\.\s*{name}\b"), name):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == name:
                yield node
