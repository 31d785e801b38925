"""Lexical scopes of one file: which name is bound where, and by what (see `scope_builder` for how)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Any

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class BindingKind(Enum):
    """What kind of statement gives a name its meaning."""

    IMPORT = auto()
    FUNCTION = auto()
    CLASS = auto()
    ASSIGNMENT = auto()
    PARAMETER = auto()
    OTHER = auto()


class Guard(Enum):
    """A surrounding statement that makes code run only in some environments."""

    NONE = auto()
    FALLBACK = auto()  # try: ... except ImportError: ...
    VERSION = auto()  # if jax.__version__ ..., if hasattr(jax, ...)
    TYPING = auto()  # if TYPE_CHECKING:


@dataclass(slots=True)
class Binding:
    """One place that binds a name.

    `target` is the absolute qualified name of an import; `value` the right-hand side of a plain
    `name = value`; `node` the statement (or the target, parameter, handler) that binds.
    """

    name: str
    kind: BindingKind
    node: ast.AST
    target: str = ""
    value: ast.expr | None = None
    guard: Guard = Guard.NONE
    alias: ast.alias | None = None


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function, lambda or comprehension and the names that it binds."""

    node: ast.AST
    parent: Scope | None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    outer_names: dict[str, bool] = field(default_factory=dict)  # global (True) / nonlocal (False)
    star_imports: list[str] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        """Class scopes are invisible from the functions inside them."""
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_module(self) -> bool:
        """True for the outermost scope."""
        return self.parent is None

    @property
    def module(self) -> Scope:
        """The outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def binder(self, name: str) -> Scope | None:
        """The scope that gives `name` its meaning when it is read here; None for builtins and unknowns."""
        scope: Scope | None = self
        first = True
        while scope is not None:
            if name in scope.outer_names:
                if scope.outer_names[name]:
                    return scope.module if name in scope.module.bindings else None
            elif name in scope.bindings and (first or not scope.is_class):
                return scope
            first = first and isinstance(scope.node, COMPREHENSIONS)
            scope = scope.parent
        return None

    def lookup(self, name: str) -> list[Binding]:
        """All bindings of `name` in the scope that gives it its meaning here."""
        scope = self.binder(name)
        return scope.bindings[name] if scope is not None else []

    def qualname(self) -> str:
        """Dotted path of definitions from the module, as in `__qualname__`; empty for the module."""
        parts: list[str] = []
        scope: Scope | None = self
        while scope is not None and scope.parent is not None:
            if isinstance(scope.node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if parts and not isinstance(scope.node, ast.ClassDef):
                    parts.append("<locals>")
                parts.append(scope.node.name)
            scope = scope.parent
        return ".".join(reversed(parts))


@dataclass(slots=True)
class Reference:
    """A name or attribute that is read, with the scope that it is read in."""

    node: ast.Name | ast.Attribute
    scope: Scope
    guard: Guard


class References(Mapping[str, list[Reference]]):
    """References by word. Few words of a file are ever asked for: `Reference`s are made for those only."""

    def __init__(self, found: dict[str, list[Any]]) -> None:
        self._found = found  # lists of (node, scope, guard), or of References once they were asked for

    def __getitem__(self, word: str) -> list[Reference]:
        if word not in self._found:  # a defaultdict would make an entry
            raise KeyError(word)
        found = self._found[word]
        if type(found[0]) is tuple:
            found[:] = [Reference(*place) for place in found]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __contains__(self, word: object) -> bool:
        return word in self._found

    def __len__(self) -> int:
        return len(self._found)


@dataclass
class Scopes:
    """All scopes of a file, and what the walk collected."""

    module: Scope
    of_node: dict[ast.AST, Scope]
    names: References  # every Name that is read, by its id
    attributes: References  # Attributes whose attr is one of the wanted words
    imports: list[tuple[ast.Import | ast.ImportFrom, Scope, Guard]]
    versions: list[ast.If]  # what asks for a version, or whether a name exists

    def asks_for_version(self, line: int) -> bool:
        """Whether a line stands in code that already limits itself to some releases."""
        return any(node.lineno <= line <= (node.end_lineno or 0) for node in self.versions)

    @cached_property
    def imported(self) -> dict[str, list[str]]:
        """By what they mean, the module-level names that only unguarded imports of that bind."""
        found: dict[str, list[str]] = {}
        for name, bindings in self.module.bindings.items():
            targets = {b.target for b in bindings}
            plain = all(b.kind is BindingKind.IMPORT and b.guard is Guard.NONE for b in bindings)
            if plain and len(targets) == 1:
                found.setdefault(targets.pop(), []).append(name)
        return found

    def all_scopes(self) -> Iterator[Scope]:
        """Every scope, the module's first."""
        yield from self.of_node.values()


_CHILD_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}


def child_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Fields of a node type that can hold nodes: not names, constants, contexts and operators."""
    known = _CHILD_FIELDS.get(kind)
    if known is None:
        known = _CHILD_FIELDS[kind] = _find_child_fields(kind)
    return known


def _find_child_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    leaves = {
        "ctx",
        "op",
        "ops",
        "id",
        "attr",
        "arg",
        "kind",
        "level",
        "n",
        "s",
        "conversion",
        "type_comment",
    }
    leaves |= {"name", "module", "asname", "is_async", "simple", "type_ignores", "kwd_attrs", "rest"}
    if kind in (ast.Global, ast.Nonlocal):
        leaves |= {"names"}
    if kind in (ast.Constant, ast.MatchSingleton):
        leaves |= {"value"}
    if kind.__name__ == "TypeAlias":  # Python 3.12: its name is a node
        leaves -= {"name"}
    return tuple(f for f in kind._fields if f not in leaves)


def absolute_module(node: ast.ImportFrom, package: str) -> str:
    """The module that `from ... import` names, relative dots resolved against `package`."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level > 1:
        parts = parts[: len(parts) - (node.level - 1)] if len(parts) >= node.level - 1 else []
    return ".".join([*parts, node.module] if node.module else parts)


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text; None where the expression is anything but a name with attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    parts.append(node.id)
    return ".".join(reversed(parts))
