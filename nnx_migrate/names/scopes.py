"""Lexical scopes of one file: which name is bound where, and by what.

One iterative walk builds all scopes and, on the way, collects the references that a rule could be about
(see `References`), so that a file is walked once however many rules run.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException"}
_VERSION_WORDS = {
    "__version__",
    "__version_info__",
    "version_info",
    "hasattr",
    "find_spec",
    "Version",
    "parse",
}


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


@dataclass
class Scopes:
    """All scopes of a file, and what the walk collected."""

    module: Scope
    of_node: dict[ast.AST, Scope]
    names: dict[str, list[Reference]]  # every Name that is read, by its id
    attributes: dict[str, list[Reference]]  # Attributes whose attr is one of the wanted words
    imports: list[tuple[ast.Import | ast.ImportFrom, Scope, Guard]]

    def all_scopes(self) -> Iterator[Scope]:
        """Every scope, the module's first."""
        yield from self.of_node.values()


# Node types with a branch of their own in `build_scopes`; the rest (most nodes) only pass their children on.
_BINDING_NODES = frozenset(
    {
        ast.Assign,
        ast.AnnAssign,
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Lambda,
        *COMPREHENSIONS,
        ast.NamedExpr,
        ast.Global,
        ast.Nonlocal,
        ast.Try,
        ast.If,
        ast.ExceptHandler,
        ast.MatchAs,
        ast.MatchStar,
        ast.MatchMapping,
    }
)


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


def _try_guard(node: ast.Try, inherited: Guard) -> Guard:
    for handler in node.handlers:
        if handler.type is None:
            return Guard.FALLBACK
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(isinstance(t, ast.Name) and t.id in _IMPORT_ERRORS for t in types):
            return Guard.FALLBACK
    return inherited


def _if_guard(test: ast.expr, inherited: Guard) -> Guard:
    for node in ast.walk(test):
        word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if word == "TYPE_CHECKING":
            return Guard.TYPING
        if word in _VERSION_WORDS:
            return Guard.VERSION
    return inherited


def build_scopes(tree: ast.Module, package: str = "", words: Collection[str] = ()) -> Scopes:
    """Walk `tree` once. `package` resolves relative imports; `words` are attribute names to collect."""
    module = Scope(tree, None)
    result = Scopes(module, {tree: module}, {}, {}, [])
    names, attributes, of_node = result.names, result.attributes, result.of_node
    stack: list[tuple[ast.AST, Scope, Guard]] = [(s, module, Guard.NONE) for s in reversed(tree.body)]

    def bind(scope: Scope, binding: Binding) -> None:
        scope.bindings.setdefault(binding.name, []).append(binding)

    def enter(node: ast.AST, parent: Scope) -> Scope:
        scope = of_node[node] = Scope(node, parent)
        return scope

    def parameters(args: ast.arguments, scope: Scope, outer: Scope, guard: Guard) -> None:
        everything = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        everything += [a for a in (args.vararg, args.kwarg) if a]
        for arg in everything:
            bind(scope, Binding(arg.arg, BindingKind.PARAMETER, arg, guard=guard))
            if arg.annotation:
                stack.append((arg.annotation, outer, guard))
        stack.extend((d, outer, guard) for d in [*args.defaults, *args.kw_defaults] if d)

    while stack:
        node, scope, guard = stack.pop()
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is ast.Load:  # type: ignore[attr-defined]
                names.setdefault(node.id, []).append(Reference(node, scope, guard))  # type: ignore[attr-defined, arg-type]
            else:
                bind(scope, Binding(node.id, BindingKind.ASSIGNMENT, node, guard=guard))  # type: ignore[attr-defined]
        elif kind is ast.Attribute:
            if node.attr in words:  # type: ignore[attr-defined]
                attributes.setdefault(node.attr, []).append(Reference(node, scope, guard))  # type: ignore[attr-defined, arg-type]
            stack.append((node.value, scope, guard))  # type: ignore[attr-defined]
        elif kind not in _BINDING_NODES:
            for name in child_fields(kind):
                value = getattr(node, name)
                if type(value) is list:
                    stack.extend([(v, scope, guard) for v in reversed(value) if v is not None])
                elif value is not None:
                    stack.append((value, scope, guard))
        elif (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            name = node.targets[0].id
            bind(scope, Binding(name, BindingKind.ASSIGNMENT, node, value=node.value, guard=guard))
            stack.append((node.value, scope, guard))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            bind(scope, Binding(node.target.id, BindingKind.ASSIGNMENT, node, value=node.value, guard=guard))
            stack.append((node.annotation, scope, guard))
            if node.value:
                stack.append((node.value, scope, guard))
        elif isinstance(node, ast.Import):
            result.imports.append((node, scope, guard))
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                target = alias.name if alias.asname else name
                bind(scope, Binding(name, BindingKind.IMPORT, node, target, guard=guard, alias=alias))
        elif isinstance(node, ast.ImportFrom):
            result.imports.append((node, scope, guard))
            base = absolute_module(node, package)
            for alias in node.names:
                if alias.name == "*":
                    scope.star_imports.append(base)
                    continue
                target = f"{base}.{alias.name}" if base else alias.name
                bind(
                    scope,
                    Binding(
                        alias.asname or alias.name, BindingKind.IMPORT, node, target, guard=guard, alias=alias
                    ),
                )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            bind(scope, Binding(node.name, BindingKind.FUNCTION, node, guard=guard))
            inner = enter(node, scope)
            stack.extend((s, inner, guard) for s in reversed(node.body))
            parameters(node.args, inner, scope, guard)
            stack.extend((d, scope, guard) for d in node.decorator_list)
            if node.returns:
                stack.append((node.returns, scope, guard))
        elif isinstance(node, ast.ClassDef):
            bind(scope, Binding(node.name, BindingKind.CLASS, node, guard=guard))
            inner = enter(node, scope)
            stack.extend((s, inner, guard) for s in reversed(node.body))
            stack.extend((d, scope, guard) for d in [*node.decorator_list, *node.bases])
            stack.extend((k.value, scope, guard) for k in node.keywords)
        elif isinstance(node, ast.Lambda):
            inner = enter(node, scope)
            stack.append((node.body, inner, guard))
            parameters(node.args, inner, scope, guard)
        elif isinstance(node, COMPREHENSIONS):
            inner = enter(node, scope)
            for index, generator in enumerate(node.generators):
                stack.append((generator.target, inner, guard))
                stack.append((generator.iter, inner if index else scope, guard))
                stack.extend((test, inner, guard) for test in generator.ifs)
            if isinstance(node, ast.DictComp):
                stack += ((node.key, inner, guard), (node.value, inner, guard))
            else:
                stack.append((node.elt, inner, guard))
        elif isinstance(node, ast.NamedExpr):
            holder = scope
            while isinstance(holder.node, COMPREHENSIONS) and holder.parent:
                holder = holder.parent
            bind(holder, Binding(node.target.id, BindingKind.ASSIGNMENT, node, value=node.value, guard=guard))
            stack.append((node.value, scope, guard))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                scope.outer_names[name] = isinstance(node, ast.Global)
        elif isinstance(node, ast.Try):
            inside = _try_guard(node, guard)
            stack.extend((s, scope, guard) for s in reversed(node.finalbody))
            stack.extend((s, scope, inside) for s in reversed(node.orelse))
            stack.extend((s, scope, inside) for s in reversed(node.handlers))
            stack.extend((s, scope, inside) for s in reversed(node.body))
        elif isinstance(node, ast.If):
            inside = _if_guard(node.test, guard)
            stack.extend((s, scope, inside) for s in reversed(node.orelse))
            stack.extend((s, scope, inside) for s in reversed(node.body))
            stack.append((node.test, scope, inside))
        else:
            if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                bind(scope, Binding(node.name, BindingKind.OTHER, node, guard=guard))
            elif isinstance(node, ast.MatchMapping) and node.rest:
                bind(scope, Binding(node.rest, BindingKind.OTHER, node, guard=guard))
            stack.extend((child, scope, guard) for child in reversed(list(ast.iter_child_nodes(node))))
    return result


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
