"""What a list holds that a program makes: displays, comprehensions, `append` and `+=` in loops, functions' results.

Where anything else may put something into the list, its contents aren't known.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Binding, BindingKind, Scope

_MAX_DEPTH = 8
_READING = frozenset({"len", "enumerate", "zip", "reversed", "print", "list", "tuple", "sum", "range"})
_Loop = ast.For | ast.While | ast.ListComp | ast.GeneratorExp | ast.DictComp


@dataclass(frozen=True, eq=False)
class Element:
    """An expression whose value is put into a list; `loop` does so several times, in a function that `via` calls."""

    module: Module
    node: ast.expr
    loop: _Loop | None = None
    via: ast.Call | None = None


class UnknownContents(Exception):
    """Nothing tells what is in the list."""


class _OtherNames(Container[ast.AST]):
    """All names but one: where values are followed one name at a time, as lists may be changed by each."""

    def __init__(self, start: ast.expr) -> None:
        self.start = start

    def __contains__(self, node: object) -> bool:
        return isinstance(node, ast.Name) and node is not self.start


class Contents:
    """Finds the elements of lists. `takers` are constructions: these only read the lists that they get."""

    def __init__(self, finder: FlowFinder, takers: Iterable[ast.Call]) -> None:
        self.finder, self.takers = finder, frozenset(takers)

    def of(self, module: Module, node: ast.expr) -> list[Element] | None:
        """Everything that may be in the list; None where that isn't known."""
        try:
            return list(self._of(module, node, 0))
        except UnknownContents:
            return None

    def _of(self, module: Module, node: ast.expr, depth: int) -> Iterator[Element]:
        if depth > _MAX_DEPTH:
            raise UnknownContents
        if isinstance(node, ast.List | ast.Tuple):
            for part in node.elts:
                if isinstance(part, ast.Starred):
                    yield from self._of(module, part.value, depth + 1)
                else:
                    yield Element(module, part)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            yield Element(module, node.elt, node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self._of(module, node.left, depth + 1)
            yield from self._of(module, node.right, depth + 1)
        elif isinstance(node, ast.IfExp):
            yield from self._of(module, node.body, depth + 1)
            yield from self._of(module, node.orelse, depth + 1)
        elif isinstance(node, ast.Name) and self._is_assigned(module, node):
            yield from self._of_name(module, node, depth)
        elif isinstance(node, ast.Call) and _builtin(module, node.func) in ("list", "tuple"):
            if len(node.args) != 1 or node.keywords:
                raise UnknownContents
            yield from self._of(module, node.args[0], depth + 1)
        elif not (isinstance(node, ast.Constant) and node.value is None):
            yield from self._of_origins(module, node, depth)

    def _of_origins(self, module: Module, node: ast.expr, depth: int) -> Iterator[Element]:
        """What functions return and callers hand over."""
        if isinstance(node, ast.Name):
            scope = module.scope_at(node).binder(node.id)
            bindings = module.scope_at(node).lookup(node.id)
            if scope is None or not all(b.kind is BindingKind.PARAMETER for b in bindings):
                raise UnknownContents
            for where, read in self.finder.index.all_reads(module, scope, node.id):
                yield from self._added(where, scope, read, depth)
        for origin in Origins(self.finder, _OtherNames(node), attributes=True).of(module, node):
            if origin is None or origin[1] is node:
                raise UnknownContents
            for element in self._of(*origin, depth + 1):
                via = node if isinstance(node, ast.Call) else None
                yield replace(element, via=element.via or via)

    @staticmethod
    def _is_assigned(module: Module, name: ast.Name) -> bool:
        bindings = module.scope_at(name).lookup(name.id)
        return bool(bindings) and all(
            (b.kind is BindingKind.ASSIGNMENT and b.value is not None) or _added_to(module, b)
            for b in bindings
        )

    def _of_name(self, module: Module, name: ast.Name, depth: int) -> Iterator[Element]:
        """A list by its name: what it is made with, and what is added to it."""
        scope = module.scope_at(name).binder(name.id)
        assert scope is not None
        for binding in scope.lookup(name.id):
            statement = _added_to(module, binding)
            value = statement.value if statement is not None else binding.value
            assert value is not None
            yield from self._repeated(module, scope, value, value, depth)
        for where, read in self.finder.index.all_reads(module, scope, name.id):
            yield from self._added(where, scope, read, depth)

    def _added(self, module: Module, scope: Scope, read: ast.expr, depth: int) -> Iterator[Element]:
        """What a read of a list's name adds to it."""
        parent = module.parents[read]
        call = module.parents[parent]
        if isinstance(parent, ast.Attribute) and isinstance(call, ast.Call) and call.func is parent:
            if parent.attr == "append" and len(call.args) == 1:
                yield Element(module, call.args[0], loop_around(module, scope, call))
                return
            if parent.attr == "extend" and len(call.args) == 1:
                yield from self._repeated(module, scope, call, call.args[0], depth)
                return
        holder = call if isinstance(parent, ast.keyword) else parent
        harmless = (
            (isinstance(holder, ast.Call) and (holder in self.takers or _builtin(module, holder.func) in _READING))
            or (isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load))
            or (isinstance(parent, ast.For | ast.comprehension) and parent.iter is read)
            or (isinstance(parent, ast.Return) and not scope.is_module)
            or isinstance(parent, ast.Starred | ast.Compare | ast.BinOp | ast.AugAssign | ast.If)
        )  # fmt: skip
        if not harmless:
            raise UnknownContents

    def _repeated(
        self, module: Module, scope: Scope, place: ast.AST, node: ast.expr, depth: int
    ) -> Iterator[Element]:
        """The elements of a list that is added to another one at a place."""
        loop = loop_around(module, scope, place)
        for element in self._of(module, node, depth + 1):
            yield replace(element, loop=element.loop or loop)


def _added_to(module: Module, binding: Binding) -> ast.AugAssign | None:
    """The statement `parts += [...]` that binds a name anew."""
    for node in (binding.node, module.parents.get(binding.node)):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            return node
    return None


def loop_around(module: Module, scope: Scope, node: ast.AST) -> _Loop | None:
    """The outermost loop around a place, within the function that binds the list."""
    found: _Loop | None = None
    parent = module.parents.get(node)
    while parent is not None and parent is not scope.node:
        if isinstance(parent, ast.For | ast.While):
            found = parent
        parent = module.parents.get(parent)
    return found


def _builtin(module: Module, node: ast.expr) -> str:
    known = isinstance(node, ast.Name) and module.scope_at(node).binder(node.id) is None
    return node.id if known and isinstance(node, ast.Name) else ""
