"""Building the scopes of one file.

One iterative walk visits every node once. Nodes of one region (same scope, same guard) wait on a stack of plain
nodes; what opens a scope or a guard of its own returns the regions to be visited before the rest. Names are
recorded in the order in which they are met, which rules rely on for the order of what they report.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any

from nnx_migrate.names.nodes import children
from nnx_migrate.names.scopes import (
    COMPREHENSIONS,
    Binding,
    BindingKind,
    Guard,
    References,
    Scope,
    Scopes,
    absolute_module,
    child_fields,
)

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

_LIBRARIES = ("jax", "flax", "optax", "orbax", "numpy")

# Nodes to visit, the last one first, in a scope and under a guard.
Region = tuple[list[ast.AST], Scope, Guard]


def build_scopes(tree: ast.Module, package: str = "", words: Collection[str] = ()) -> Scopes:
    """Walk `tree` once. `package` resolves relative imports; `words` are attribute names to collect."""
    return _Builder(tree, package).build(frozenset(words))


class _Builder:
    def __init__(self, tree: ast.Module, package: str) -> None:
        self.tree, self.package = tree, package
        self.module = Scope(tree, None)
        self.scopes: dict[ast.AST, Scope] = {tree: self.module}
        self.imports: list[tuple[ast.Import | ast.ImportFrom, Scope, Guard]] = []
        self.versions: list[ast.If] = []
        # variables of the module that hold what a version is, or whether a name exists
        self.flags: set[str] = set()

    def build(self, words: frozenset[str]) -> Scopes:
        names: dict[str, list[Any]] = defaultdict(list)
        attributes: dict[str, list[Any]] = defaultdict(list)
        fields = _FieldsOf({type(None): ()})  # lists have holes: the key of `**mapping`
        regions: list[Region] = [([*reversed(self.tree.body)], self.module, Guard.NONE)]
        while regions:
            stack, scope, guard = regions.pop()
            while stack:
                node = stack.pop()
                kind: Any = type(node)
                if kind is ast.Name:
                    if type(node.ctx) is ast.Load:  # type: ignore[attr-defined]
                        names[node.id].append((node, scope, guard))  # type: ignore[attr-defined]
                    else:
                        _bind(scope, node.id, BindingKind.ASSIGNMENT, node, guard)  # type: ignore[attr-defined]
                elif kind is ast.Attribute:
                    if node.attr in words:  # type: ignore[attr-defined]
                        attributes[node.attr].append((node, scope, guard))  # type: ignore[attr-defined]
                    stack.append(node.value)  # type: ignore[attr-defined]
                elif kind is ast.Constant:
                    pass
                elif kind in _VISITORS:
                    first = _VISITORS[kind](self, node, scope, guard, stack)
                    if first:
                        regions.append((stack, scope, guard))
                        regions += reversed(first)
                        break
                else:
                    for name in fields[kind]:
                        value = getattr(node, name)
                        if type(value) is list:
                            stack += value[::-1]
                        elif value is not None:
                            stack.append(value)
        return Scopes(
            self.module, self.scopes, References(names), References(attributes), self.imports, self.versions
        )

    def enter(self, node: ast.AST, parent: Scope) -> Scope:
        scope = self.scopes[node] = Scope(node, parent)
        return scope

    # -- nodes that bind, or open a region of their own: each returns the regions to be visited first ----------

    def assign(self, node: ast.Assign, scope: Scope, guard: Guard, stack: list[ast.AST]) -> None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            _bind(scope, name, BindingKind.ASSIGNMENT, node, guard, node.value)
            stack.append(node.value)
            if scope is self.module and _is_question(node.value):
                if _if_guard(node.value, Guard.NONE, self.flags) is Guard.VERSION:
                    self.flags.add(name)
        else:
            stack += [node.value, *node.targets[::-1]]

    def annotated(self, node: ast.AnnAssign, scope: Scope, guard: Guard, stack: list[ast.AST]) -> None:
        if isinstance(node.target, ast.Name):
            _bind(scope, node.target.id, BindingKind.ASSIGNMENT, node, guard, node.value)
            stack += [node.annotation, node.value] if node.value else [node.annotation]
        else:
            stack += _children_reversed(node)

    def import_(self, node: ast.Import, scope: Scope, guard: Guard, stack: list[ast.AST]) -> None:
        self.imports.append((node, scope, guard))
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            target = alias.name if alias.asname else name
            _bind(scope, name, BindingKind.IMPORT, node, guard, target=target, alias=alias)

    def import_from(self, node: ast.ImportFrom, scope: Scope, guard: Guard, stack: list[ast.AST]) -> None:
        self.imports.append((node, scope, guard))
        base = absolute_module(node, self.package)
        for alias in node.names:
            if alias.name == "*":
                scope.star_imports.append(base)
                continue
            target = f"{base}.{alias.name}" if base else alias.name
            _bind(
                scope,
                alias.asname or alias.name,
                BindingKind.IMPORT,
                node,
                guard,
                target=target,
                alias=alias,
            )

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope, guard: Guard, stack: list[ast.AST]
    ) -> list[Region]:
        _bind(scope, node.name, BindingKind.FUNCTION, node, guard)
        inner = self.enter(node, scope)
        outside = [*_parameters(node.args, inner, guard), *node.decorator_list]
        if node.returns:
            outside.append(node.returns)
        place = _place_behind_version(node.body)
        first, rest = node.body[:place], node.body[place:]
        regions: list[Region] = [(outside, scope, guard), ([*reversed(first)], inner, guard)]
        return [*regions, ([*reversed(rest)], inner, Guard.VERSION)] if rest else regions

    def class_(self, node: ast.ClassDef, scope: Scope, guard: Guard, stack: list[ast.AST]) -> list[Region]:
        _bind(scope, node.name, BindingKind.CLASS, node, guard)
        inner = self.enter(node, scope)
        outside: list[ast.AST] = [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]
        return [(outside, scope, guard), ([*reversed(node.body)], inner, guard)]

    def lambda_(self, node: ast.Lambda, scope: Scope, guard: Guard, stack: list[ast.AST]) -> list[Region]:
        inner = self.enter(node, scope)
        outside = _parameters(node.args, inner, guard)
        return [(outside, scope, guard), ([node.body], inner, guard)]

    def comprehension(self, node: ast.expr, scope: Scope, guard: Guard, stack: list[ast.AST]) -> list[Region]:
        """All but the first iterable belongs to the comprehension's own scope."""
        inner = self.enter(node, scope)
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        inside: list[ast.AST] = [*generators[0].ifs]
        for generator in generators[1:]:
            inside += [generator.target, generator.iter, *generator.ifs]
        if isinstance(node, ast.DictComp):
            inside += [node.key, node.value]
        else:
            inside.append(node.elt)  # type: ignore[attr-defined]
        first = generators[0]
        return [(inside, inner, guard), ([first.iter], scope, guard), ([first.target], inner, guard)]

    def walrus(self, node: ast.NamedExpr, scope: Scope, guard: Guard, stack: list[ast.AST]) -> None:
        holder = scope
        while isinstance(holder.node, COMPREHENSIONS) and holder.parent:
            holder = holder.parent
        _bind(holder, node.target.id, BindingKind.ASSIGNMENT, node, guard, node.value)
        stack.append(node.value)

    def outer_names(
        self, node: ast.Global | ast.Nonlocal, scope: Scope, guard: Guard, stack: list[ast.AST]
    ) -> None:
        for name in node.names:
            scope.outer_names[name] = isinstance(node, ast.Global)

    def try_(self, node: ast.Try, scope: Scope, guard: Guard, stack: list[ast.AST]) -> list[Region]:
        tried: list[ast.AST] = [*node.body, *node.handlers, *node.orelse]
        stack += node.finalbody[::-1]
        return [(tried[::-1], scope, _try_guard(node, guard))]

    def if_(self, node: ast.If, scope: Scope, guard: Guard, stack: list[ast.AST]) -> list[Region] | None:
        inside = _if_guard(node.test, guard, self.flags)
        if inside is guard:
            stack += node.orelse[::-1]
            stack += node.body[::-1]
            stack.append(node.test)
            return None
        if inside is Guard.VERSION:
            self.versions.append(node)
        chosen: list[ast.AST] = [node.test, *node.body, *node.orelse]
        return [(chosen[::-1], scope, inside)]

    def capture(
        self,
        node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping,
        scope: Scope,
        guard: Guard,
        stack: list[ast.AST],
    ) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            _bind(scope, name, BindingKind.OTHER, node, guard)
        stack += _children_reversed(node)


_Visitor = Callable[[_Builder, Any, Scope, Guard, list[ast.AST]], list[Region] | None]
_VISITORS: dict[type[ast.AST], _Visitor] = {
    ast.Assign: _Builder.assign,
    ast.AnnAssign: _Builder.annotated,
    ast.Import: _Builder.import_,
    ast.ImportFrom: _Builder.import_from,
    ast.FunctionDef: _Builder.function,
    ast.AsyncFunctionDef: _Builder.function,
    ast.ClassDef: _Builder.class_,
    ast.Lambda: _Builder.lambda_,
    **dict.fromkeys(COMPREHENSIONS, _Builder.comprehension),
    ast.NamedExpr: _Builder.walrus,
    ast.Global: _Builder.outer_names,
    ast.Nonlocal: _Builder.outer_names,
    ast.Try: _Builder.try_,
    ast.If: _Builder.if_,
    ast.ExceptHandler: _Builder.capture,
    ast.MatchAs: _Builder.capture,
    ast.MatchStar: _Builder.capture,
    ast.MatchMapping: _Builder.capture,
}


class _FieldsOf(dict[type, tuple[str, ...]]):
    """`child_fields` without a call for each node."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        fields = self[kind] = child_fields(kind)
        return fields


def _bind(
    scope: Scope,
    name: str,
    kind: BindingKind,
    node: ast.AST,
    guard: Guard,
    value: ast.expr | None = None,
    target: str = "",
    alias: ast.alias | None = None,
) -> None:
    scope.bindings.setdefault(name, []).append(Binding(name, kind, node, target, value, guard, alias))


def _parameters(args: ast.arguments, scope: Scope, guard: Guard) -> list[ast.AST]:
    """Bind the parameters in a function's scope; what is evaluated outside of it: annotations, defaults."""
    everything = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    everything += [a for a in (args.vararg, args.kwarg) if a]
    for arg in everything:
        _bind(scope, arg.arg, BindingKind.PARAMETER, arg, guard)
    outside: list[ast.AST] = [a.annotation for a in everything if a.annotation]
    outside += [d for d in (*args.defaults, *args.kw_defaults) if d]
    return outside


def _children_reversed(node: ast.AST) -> list[ast.AST]:
    return list(ast.iter_child_nodes(node))[::-1]


def _try_guard(node: ast.Try, inherited: Guard) -> Guard:
    for handler in node.handlers:
        if handler.type is None:
            return Guard.FALLBACK
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(isinstance(t, ast.Name) and t.id in _IMPORT_ERRORS for t in types):
            return Guard.FALLBACK
    return inherited


def _if_guard(test: ast.expr, inherited: Guard, flags: Collection[str]) -> Guard:
    """The guard inside of an `if`: what the first telling word of its condition says.

    `flags` are variables that hold the answer to such a question. Other functions and variables tell a version by
    their name, if a library is named beside it: `if module_version("jax") >= (0, 10):`.
    """
    version = library = False
    for word in _words(test):
        if word == "TYPE_CHECKING":
            return Guard.TYPING
        if word in _VERSION_WORDS or word in flags:
            return Guard.VERSION
        lowered = word.lower()
        version = version or "version" in lowered
        library = library or any(name in lowered for name in _LIBRARIES)
    return Guard.VERSION if version and library else inherited


def _place_behind_version(body: list[ast.stmt]) -> int:
    """Where code begins that other releases run: behind `if jax.__version__ >= "0.7": return array`.

    Behind a check that raises, or only returns, stands the code for the releases that are supported.
    """
    for place, statement in enumerate(body, 1):
        if isinstance(statement, ast.If) and not statement.orelse and _returns_value(statement.body[-1]):
            if not {"__version__", "__version_info__"}.isdisjoint(_words(statement.test)):
                return place
    return len(body)


def _returns_value(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Return) and statement.value is not None


def _is_question(value: ast.expr) -> bool:
    """Whether the answer is yes or no."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "hasattr"
    return isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp)


def _words(test: ast.expr) -> Iterator[str]:
    """The names, attributes and texts of an expression."""
    pending: list[ast.AST] = [test]
    for node in pending:  # grows as it goes: breadth first
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
            pending.append(node.value)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node.value
        else:
            pending += children(node)
