"""What a dictionary holds that a program makes: displays, `dict(...)`, `d["key"] = ...`, `d.update(...)`, and
comprehensions over the items of another one.

Where anything else may put something into the dictionary, its contents aren't known.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from nnx_migrate.linen.programs.dataflow.contents import Element, UnknownContents, loop_around
from nnx_migrate.linen.programs.dataflow.dict_keys import listed_by
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import string_in
from nnx_migrate.names.scopes import BindingKind, Scope

_MAX_DEPTH = 8
_READING = frozenset({"len", "list", "tuple", "sorted", "set", "print", "enumerate", "dict", "str", "repr"})
#: Methods that change nothing, and give nothing by which the dictionary could be changed.
_LISTING = frozenset({"keys", "values", "items", "get", "copy"})


@dataclass(frozen=True, eq=False)
class Entry:
    """A value that may stand under a key; under any key, where that is None."""

    key: str | None
    element: Element


class _OtherNames(Container[ast.AST]):
    """All names but one: names are followed one at a time, as each may change the dictionary."""

    def __init__(self, start: ast.expr) -> None:
        self.start = start

    def __contains__(self, node: object) -> bool:
        return isinstance(node, ast.Name) and node is not self.start


class DictContents:
    """Finds the entries of dictionaries. `takers` are constructions: these only read what they get."""

    def __init__(self, finder: FlowFinder, takers: Iterable[ast.Call]) -> None:
        self.finder, self.takers = finder, frozenset(takers)

    def of(self, module: Module, node: ast.expr) -> list[Entry] | None:
        """Every entry that the dictionary may have; None where that isn't known."""
        try:
            return list(self._of(module, node, 0))
        except UnknownContents:
            return None

    def under(self, module: Module, node: ast.expr, key: str | None) -> list[Element] | None:
        """What may stand under a key, or under any."""
        entries = self.of(module, node)
        if entries is None:
            return None
        return [entry.element for entry in entries if key is None or entry.key in (None, key)]

    def _of(self, module: Module, node: ast.expr, depth: int) -> Iterator[Entry]:
        if depth > _MAX_DEPTH:
            raise UnknownContents
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is None:
                    yield from self._of(module, value, depth + 1)
                else:
                    yield Entry(string_in(key), Element(module, value))
        elif isinstance(node, ast.Call) and _builtin(module, node.func) == "dict":
            yield from self._arguments(module, node, depth)
        elif isinstance(node, ast.DictComp):
            yield from self._comprehension(module, node, depth)
        elif isinstance(node, ast.IfExp):
            yield from self._of(module, node.body, depth + 1)
            yield from self._of(module, node.orelse, depth + 1)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from self._of(module, node.left, depth + 1)
            yield from self._of(module, node.right, depth + 1)
        elif isinstance(node, ast.Name):
            yield from self._of_name(module, node, depth)
        else:
            raise UnknownContents

    def _arguments(self, module: Module, call: ast.Call, depth: int) -> Iterator[Entry]:
        """The entries that `dict(...)` and `d.update(...)` take."""
        for other in call.args:
            yield from self._of(module, other, depth + 1)
        for keyword in call.keywords:
            if keyword.arg is None:
                yield from self._of(module, keyword.value, depth + 1)
            else:
                yield Entry(keyword.arg, Element(module, keyword.value))

    def _comprehension(self, module: Module, node: ast.DictComp, depth: int) -> Iterator[Entry]:
        """`{key: parts[0] for key, parts in info.items()}`; else one expression for all keys."""
        loop = node.generators[0]
        source = _source_of_items(loop) if len(node.generators) == 1 else None
        if source is None:
            yield Entry(None, Element(module, node.value, node))
            return
        key, value = loop.target.elts  # type: ignore[attr-defined]
        for entry in self._of(module, source, depth + 1):
            same_key = isinstance(node.key, ast.Name) and node.key.id == key.id
            yield Entry(entry.key if same_key else None, _part(module, node, value.id, entry.element))

    def _of_name(self, module: Module, name: ast.Name, depth: int) -> Iterator[Entry]:
        """A dictionary by its name: what it is made with, and what is put into it."""
        scope = module.scope_at(name).binder(name.id)
        bindings = scope.lookup(name.id) if scope is not None else ()
        if scope is None or not bindings:
            raise UnknownContents
        for where, read in self.finder.index.all_reads(module, scope, name.id):
            yield from self._put_in(where, scope, read, depth)
        if all(b.kind is BindingKind.ASSIGNMENT and b.value is not None for b in bindings):
            for binding in bindings:
                assert binding.value is not None
                yield from self._of(module, binding.value, depth + 1)
            return
        for origin in Origins(self.finder, _OtherNames(name), attributes=True).of(module, name):
            if origin is None or origin[1] is name:
                raise UnknownContents
            yield from self._of(*origin, depth + 1)

    def _put_in(self, module: Module, scope: Scope, read: ast.expr, depth: int) -> Iterator[Entry]:
        """What a read of a dictionary's name puts into it."""
        parent = module.parents[read]
        if isinstance(parent, ast.Subscript) and parent.value is read:
            if isinstance(parent.ctx, ast.Load | ast.Del):
                return
            statement = module.parents[parent]
            if isinstance(statement, ast.Assign) and statement.targets == [parent]:
                loop = loop_around(module, scope, statement)
                yield Entry(string_in(parent.slice), Element(module, statement.value, loop))
                return
            raise UnknownContents
        if isinstance(parent, ast.Attribute):
            call = module.parents[parent]
            if not (isinstance(call, ast.Call) and call.func is parent):
                raise UnknownContents
            if parent.attr == "update":
                yield from self._arguments(module, call, depth)
            elif parent.attr not in _LISTING:
                raise UnknownContents
            return
        call = module.parents[parent] if isinstance(parent, ast.keyword) else parent
        if isinstance(parent, ast.keyword) and parent.arg is None:
            return  # `f(**inputs)` gets a copy
        if isinstance(call, ast.Call) and (call in self.takers or _builtin(module, call.func) in _READING):
            return
        harmless = isinstance(parent, ast.For | ast.comprehension) and parent.iter is read
        if not harmless and not isinstance(parent, ast.Compare):
            raise UnknownContents


def _source_of_items(loop: ast.comprehension) -> ast.expr | None:
    """`info` of `for key, value in info.items()`."""
    target = loop.target
    is_pair = isinstance(target, ast.Tuple) and len(target.elts) == 2
    named = is_pair and all(isinstance(part, ast.Name) for part in target.elts)  # type: ignore[attr-defined]
    return listed_by(loop.iter, "items") if named else None


def _part(module: Module, node: ast.DictComp, name: str, element: Element) -> Element:
    """What a comprehension makes of one item: the item itself, or a part of the tuple that it is."""
    value = node.value
    if isinstance(value, ast.Name) and value.id == name:
        return element
    if not any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value)):
        return Element(module, value, node)
    index = value.slice if isinstance(value, ast.Subscript) else None
    of_item = (
        isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name) and value.value.id == name
    )
    parts = element.node.elts if isinstance(element.node, ast.Tuple) else []
    known = isinstance(index, ast.Constant) and isinstance(index.value, int) and 0 <= index.value < len(parts)
    if not of_item or not known or any(isinstance(part, ast.Starred) for part in parts):
        raise UnknownContents
    assert isinstance(index, ast.Constant) and isinstance(index.value, int)
    return Element(element.module, parts[index.value], element.loop, element.via)


def _builtin(module: Module, node: ast.expr) -> str:
    known = isinstance(node, ast.Name) and module.scope_at(node).binder(node.id) is None
    return node.id if known and isinstance(node, ast.Name) else ""
