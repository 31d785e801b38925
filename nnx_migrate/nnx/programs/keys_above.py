"""Whose names keys are: `"encoder"` in `params["encoder"]["Dense_0"]` tells whose `Dense_0` is meant.

So do the keys beside it, where a program takes several from one tree: only some classes have all of them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Binding, BindingKind, Scope
from nnx_migrate.nnx.programs.renames import Other, Renames
from nnx_migrate.nnx.programs.written_classes import WrittenClass

Others = Other | WrittenClass
# Between two of these, code may have left a function, or a round of a loop.
_LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
# What lets a part of its code run and another part not.
_CHOOSING = (ast.If, ast.IfExp, ast.BoolOp, ast.Try, ast.While, ast.Match, ast.Lambda)


@dataclass(frozen=True)
class Key:
    """A key, or the `start` of one that the program makes: `params[f"block_{i}"]["Dense_0"]`."""

    text: str
    is_start: bool = False

    def is_of(self, renames: Renames) -> bool:
        """Whether these are the names of a class that may have it."""
        if self.is_start:
            return renames.begins(self.text)
        return renames.changes(self.text) or renames.has_kept(self.text)

    def below(self, renames: Renames) -> Renames:
        """The names below it; all where its class isn't known."""
        return renames.under_start(self.text) if self.is_start else renames.under(self.text)

    def may_be_of(self, other: Others) -> bool:
        """Whether another class may have a submodule of that name."""
        return other.may_count(self.text, "") if self.is_start else other.has(self.text)


def names_at(
    module: Module, node: ast.expr, renames: Renames, others: Sequence[Others]
) -> tuple[Renames, Sequence[Others]]:
    """The names among which a key is, and the classes of other groups that it may be of."""
    above = _key_above(module, node)
    known = above.below(renames) if above is not None else renames
    if known is not renames and above is not None:
        return known, others if any(map(above.may_be_of, others)) else ()
    keys = [key for key in _keys_beside(module, node) if key is not None]
    known = renames.of_class_having(key.is_of for key in keys) if len(keys) > 1 else renames
    if known is renames:
        return renames, others
    return known, [other for other in others if all(key.may_be_of(other) for key in keys)]


def _key_above(module: Module, node: ast.expr) -> Key | None:
    """The key above one that a subscript reads, or that stands in a display of dictionaries."""
    parent = module.parents[node]
    if isinstance(parent, ast.Dict):
        outer = module.parents[parent]
        if not isinstance(outer, ast.Dict) or parent not in outer.values:
            return None
        return _key(outer.keys[outer.values.index(parent)])
    above = parent.value if isinstance(parent, ast.Subscript) and parent.slice is node else None
    return _key(above.slice) if isinstance(above, ast.Subscript) else None


def _key(node: ast.expr | None) -> Key | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return Key(node.value)
    if isinstance(node, ast.JoinedStr) and len(node.values) == 2:
        start, counted = node.values
        if isinstance(start, ast.Constant) and isinstance(counted, ast.FormattedValue):
            return Key(str(start.value), is_start=True)
    return None


def _keys_beside(module: Module, node: ast.expr) -> Iterator[Key | None]:
    """The keys of the same dictionary, as far as they can be told: the key itself among them."""
    parent = module.parents[node]
    if isinstance(parent, ast.Dict):
        yield from map(_key, parent.keys)
    elif isinstance(parent, ast.Subscript) and parent.slice is node:
        yield from (_key(read.slice) for read in _reads_beside(module, parent))


def _reads_beside(module: Module, subscript: ast.Subscript) -> Iterator[ast.Subscript]:
    """What is read from the same tree whenever this is: `params["a"]` and `params["b"]`."""
    scope, root = module.scope_at(subscript), subscript.value
    while isinstance(root, ast.Subscript):
        root = root.value
    if not isinstance(root, ast.Name) or scope.binder(root.id) is not scope:
        return
    text, places = ast.unparse(subscript.value), _places(module)
    if text in places.changed:
        return
    start = max((_end(module, binding) for binding in scope.lookup(root.id)), default=0)
    chosen = set(_choices(module, subscript))
    for read in places.reads[scope, text]:
        first, last = sorted((read.lineno, subscript.lineno))
        left = any(first <= line <= last for line in places.leaving[scope])
        if first > start and not left and chosen.issuperset(_choices(module, read)):
            yield read


def _end(module: Module, binding: Binding) -> int:
    """The line from which on a name has a value."""
    if binding.kind is BindingKind.PARAMETER:
        return 0
    return module.statement_of(binding.node).end_lineno or 0


@dataclass
class _Places:
    """What a file reads by keys, by scope and tree; the trees that lose keys; where code leaves a function or round."""

    reads: defaultdict[tuple[Scope, str], list[ast.Subscript]]
    changed: set[str]
    leaving: defaultdict[Scope, list[int]]


@lru_cache(maxsize=16)
def _places(module: Module) -> _Places:
    found = _Places(defaultdict(list), set(), defaultdict(list))
    for read in module.nodes(ast.Subscript):
        text = ast.unparse(read.value)
        found.reads[module.scope_at(read), text].append(read)
        if isinstance(read.ctx, ast.Del):
            found.changed.add(text)
        if not isinstance(read.ctx, ast.Load):
            found.changed.add(ast.unparse(read))  # what was below it is another tree now
    for attribute in module.nodes(ast.Attribute):
        if attribute.attr in ("pop", "popitem", "clear"):
            found.changed.add(ast.unparse(attribute.value))
    for kind in _LEAVING:
        for node in module.nodes(kind):
            found.leaving[module.scope_at(node)].append(node.lineno)
    return found


def _choices(module: Module, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The conditions below which a node stands, each with the part of it."""
    child, parent = node, module.parents.get(node)
    while parent is not None and not isinstance(
        parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ):
        if isinstance(parent, _CHOOSING):
            for name, value in ast.iter_fields(parent):
                if value is child or (isinstance(value, list) and child in value):
                    yield parent, name
        child, parent = parent, module.parents.get(parent)
