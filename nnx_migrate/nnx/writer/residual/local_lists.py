"""Lists of modules that a compact method fills and then runs over.

    layers = []
    for _ in range(self.depth):
        layers.append([Residual(Attention(self.dim)), Residual(MLP(self.dim))])
    for attention, mlp in layers: ...

The list becomes an attribute, filled by the constructor in the same way; the method only reads it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Iterated, ModuleList
from nnx_migrate.names.nodes import contains, is_none

_COUNTERS = ("enumerate", "zip")


@dataclass(eq=False)
class LocalList:
    """A local variable `name` that only ever holds modules, made by `elements` in the loop `creating`.

    `creating` is a `for` statement or a comprehension, `definition` the statement that binds the variable,
    `fill` the one that makes an element (`definition` itself for a comprehension).
    """

    name: str
    definition: ast.Assign
    creating: ast.For | ast.ListComp
    fill: ast.stmt
    element: ast.expr
    sites: list[Site]
    running: list[ast.For]  # the loops that take one element after the other
    attribute: str = ""

    @property
    def removed(self) -> set[ast.stmt]:
        """Statements that the method no longer needs."""
        found: set[ast.stmt] = {self.definition, self.fill}
        if isinstance(self.creating, ast.For) and self.creating.body == [self.fill]:
            found.add(self.creating)
        return found


def find_local_lists(analysis: ClassAnalysis, method: Method) -> list[LocalList]:
    """The lists of one method; their modules are marked as held by them."""
    found = [_local_list(analysis, method, s) for s in method.node.body if isinstance(s, ast.Assign)]
    return [item for item in found if item is not None]


def _local_list(analysis: ClassAnalysis, method: Method, definition: ast.Assign) -> LocalList | None:
    target = definition.targets[0]
    if len(definition.targets) != 1 or not isinstance(target, ast.Name):
        return None
    made = _by_append(method, definition, target.id) or _by_comprehension(definition)
    if made is None or _times_bound(method, target.id) != 1:
        return None
    creating, fill, element = made
    direct = _direct(analysis, element, ())
    if direct is None or not _only_read(method, target.id, fill):
        return None
    for site in (s for s in analysis.sites if contains(element, s.call)):
        around = [c.node for c in site.controls if c.branch != "after"]
        in_loop = [node for node in around if not _is_choice(node, element)] == [creating]
        if not in_loop or site.context or (site not in direct and site.parent_site is None):
            return None
    for site, place in direct.items():
        site.container, site.place = definition, place
    loops = [n for n in ast.walk(method.node) if isinstance(n, ast.For)]
    running = [
        loop for loop in loops if _runs_over(analysis, loop, target.id) or _counts(analysis, loop, creating)
    ]
    return LocalList(target.id, definition, creating, fill, element, list(direct), running)


def _times_bound(method: Method, name: str) -> int:
    names = [n for n in ast.walk(method.node) if isinstance(n, ast.Name) and n.id == name]
    return sum(not isinstance(n.ctx, ast.Load) for n in names)


def _by_append(
    method: Method, definition: ast.Assign, name: str
) -> tuple[ast.For, ast.stmt, ast.expr] | None:
    """The one loop that fills an empty list."""
    if not isinstance(definition.value, ast.List) or definition.value.elts:
        return None
    fills = list(_fills(method, name))
    if len(fills) != 1:
        return None
    (loop, statement, element) = fills[0]
    after = method.node.body.index(loop) > method.node.body.index(definition)
    return (loop, statement, element) if after and not loop.orelse else None


def _fills(method: Method, name: str) -> Iterator[tuple[ast.For, ast.stmt, ast.expr]]:
    for loop in (s for s in method.node.body if isinstance(s, ast.For)):
        for statement in loop.body:
            call = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(call, ast.Call) and _is_append(call, name):
                yield loop, statement, call.args[0]


def _is_append(call: ast.Call, name: str) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "append"
        and isinstance(function.value, ast.Name)
        and function.value.id == name
        and len(call.args) == 1
        and not call.keywords
    )


def _by_comprehension(definition: ast.Assign) -> tuple[ast.ListComp, ast.stmt, ast.expr] | None:
    value = definition.value
    if not isinstance(value, ast.ListComp) or len(value.generators) != 1 or value.generators[0].ifs:
        return None
    return value, definition, value.elt


def _direct(
    analysis: ClassAnalysis, element: ast.expr, place: tuple[str, ...]
) -> dict[Site, tuple[str, ...]] | None:
    """Where an element holds its modules; None where it is something else than modules in lists."""
    if isinstance(element, ast.List | ast.Tuple) and element.elts:
        found: dict[Site, tuple[str, ...]] = {}
        for index, item in enumerate(element.elts):
            inner = _direct(analysis, item, (*place, str(index)))
            if inner is None:
                return None
            found |= inner
        return found
    if isinstance(element, ast.IfExp):
        ways = [way for way in (element.body, element.orelse) if not is_none(way)]
        held = [_direct(analysis, way, place) for way in ways]
        return {s: p for each in held if each for s, p in each.items()} if all(held) else None
    site = analysis.facts.sites.get(((), element))
    return {site: place} if site is not None else None


def _is_choice(node: ast.AST, element: ast.expr) -> bool:
    """Whether a condition decides what stands at a place of the element."""
    return isinstance(node, ast.IfExp) and contains(element, node)


def _only_read(method: Method, name: str, fill: ast.stmt) -> bool:
    """Whether nothing but `fill` changes the list, or hands it to code that might."""
    parents = {child: node for node in ast.walk(method.node) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(method.node):
        if not (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)):
            continue
        if contains(fill, node):
            continue
        outer = parents[node]
        is_reader = isinstance(outer, ast.For) and outer.iter is node
        if isinstance(outer, ast.Call) and isinstance(outer.func, ast.Name):
            is_reader = outer.func.id in (*_COUNTERS, "len", "reversed")
        if isinstance(outer, ast.Subscript) and outer.value is node:
            is_reader = isinstance(outer.ctx, ast.Load)
        if not is_reader:
            return False
    return True


def _counts(analysis: ClassAnalysis, loop: ast.For, creating: ast.AST) -> bool:
    """Whether a loop takes the elements in their order by their number."""
    counted = analysis.facts.counted.get(((), loop), ())
    return any(modules.rounds is not None and modules.rounds.loop is creating for modules in counted)


def _runs_over(analysis: ClassAnalysis, loop: ast.For, name: str) -> bool:
    """Whether a loop takes the elements in their order."""
    value = analysis.facts.values.get(((), loop.iter))
    named = [n for n in ast.walk(loop.iter) if isinstance(n, ast.Name) and n.id == name]
    if isinstance(value, Iterated):
        return value.kind in _COUNTERS and any(isinstance(a, ModuleList) for a in value.args) and bool(named)
    return isinstance(value, ModuleList) and bool(named)
