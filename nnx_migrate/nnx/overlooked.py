"""Modules that a converted class would still make in functions within its methods, which nobody has followed.

The interpreter runs what it understands. What it hands on unseen, `jax.grad(lambda x: TABLE[kind](3)(x).sum())`, names
no class itself: the table, the function that chooses, a field or a variable gives it. Linen makes a submodule there.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.symbols import LINEN, canonical
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self, nodes_below
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Scope, dotted

_WITHIN = (ast.Lambda, ast.FunctionDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Value = tuple[Module, ast.AST]


class Overlooked:
    """Finds such calls in methods after the conversion; `rewritten` are the functions that change with the class."""

    def __init__(
        self, cls: LinenClass, project: Project, outside: Scope, rewritten: Collection[ast.AST]
    ) -> None:
        self.cls = cls
        self.project = project
        self.outside = outside
        self.rewritten = rewritten
        self._known_values: dict[ast.AST, bool] = {}  # whether they name classes

    def calls(self, method: ast.FunctionDef, free: Collection[int]) -> Iterator[ast.Call]:
        """What functions within a method call to get a module; `free` are the names (ids) from outside the class."""
        local = self._variables(method, free)
        inner = [n for n in nodes_below(method) if isinstance(n, _WITHIN) and n is not method]
        seen: set[int] = set()
        for call in (n for scope in inner for n in nodes_below(scope) if isinstance(n, ast.Call)):
            if id(call) in seen:
                continue
            seen.add(id(call))
            made = call.func.func if isinstance(call.func, ast.Call) else None
            if self._gives_class(call.func, free, local) or (made is not None and self._may_give_class(made)):
                yield call

    def _may_give_class(self, node: ast.expr) -> bool:
        """Whether what is called twice, `self.block(8)(x)` or `getattr(nn, name)(8)(x)`, may be a class."""
        if is_of_self(node):
            return self.cls.field(node.attr) is not None
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr"):
            return False
        path = dotted(node.args[0]) if node.args else None
        name = canonical(self.project.resolve_name(path, self.outside, self.cls.module)) if path else None
        return path == "nnx" or name in (LINEN, "flax.nnx")

    def _variables(self, method: ast.FunctionDef, free: Collection[int]) -> set[str]:
        """Local names that may stand for a class of modules: `make = TABLE[kind]`, `for make in TABLE.values()`."""
        pairs: list[tuple[ast.expr, ast.expr]] = []
        for node in nodes_below(method):
            if isinstance(node, ast.Assign):
                pairs += [(target, node.value) for target in node.targets]
            elif isinstance(node, ast.For | ast.comprehension):
                pairs.append((node.target, node.iter))
        found: set[str] = set()
        for target, value in pairs:
            part = value.args[0] if isinstance(value, ast.Call) and _is_partial(value) else value
            if self._gives_class(part, free, found):
                found.update(n.id for n in nodes_below(target) if isinstance(n, ast.Name))
        return found

    def _gives_class(self, node: ast.expr, free: Collection[int], local: Collection[str]) -> bool:
        """Whether an expression gives a class of modules: `TABLE[kind]`, `TABLE.get(kind)`, `find(kind)`, `make`."""
        if isinstance(node, ast.Subscript):
            return self._gives_class(node.value, free, local)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "items", "pop", "values"):
                return self._is_table(node.func.value, free)
            return self._is_chooser(node.func, free)
        if isinstance(node, ast.IfExp):
            return any(self._gives_class(part, free, local) for part in (node.body, node.orelse))
        return (isinstance(node, ast.Name) and node.id in local) or self._is_table(node, free)

    def _is_table(self, node: ast.expr, free: Collection[int]) -> bool:
        """Whether a variable of the project holds classes of modules."""
        return any(
            not isinstance(value, ast.FunctionDef) and self._names_classes(module, value)
            for module, value in self._known(node, free)
        )

    def _is_chooser(self, node: ast.expr, free: Collection[int]) -> bool:
        """Whether a function of the project gives classes of modules."""
        for module, function in self._known(node, free):
            if isinstance(function, ast.FunctionDef) and function not in self.rewritten:
                returned = [n.value for n in nodes_below(function) if isinstance(n, ast.Return) and n.value]
                plain = [value for value in returned if not isinstance(value, ast.Call)]
                if any(self._names_classes(module, value) for value in plain):
                    return True
        return False

    def _known(self, node: ast.expr, free: Collection[int]) -> list[Value]:
        """The functions, or the values of the variables, that a name from outside may stand for."""
        path, root = dotted(node), _root(node)
        if path is None or id(root) not in free:
            return []
        return self._values(path, self.outside, self.cls.module)

    def _values(self, path: str, scope: Scope, module: Module) -> list[Value]:
        qualified = self.project.resolve_name(path, scope, module)
        definition = self.project.definition(qualified) if qualified is not None else None
        if definition is not None and isinstance(definition.node, ast.FunctionDef):
            return [(definition.module, definition.node)]
        bindings, home = ([definition.binding], definition.module) if definition is not None else ([], module)
        if definition is None and scope.binder(path) is module.scopes.module:
            bindings = scope.lookup(path)
        return [(home, binding.value) for binding in bindings if binding.value is not None]

    def _names_classes(self, module: Module, value: ast.AST) -> bool:
        """Whether an expression, or a variable that it names, mentions a class of modules and doesn't call it."""
        if value not in self._known_values:
            self._known_values[value] = False  # where it names itself
            self._known_values[value] = any(
                self._stands_for_class(module, node)
                for node in nodes_below(value)
                if isinstance(node, ast.Name | ast.Attribute)
            )
        return self._known_values[value]

    def _stands_for_class(self, module: Module, node: ast.Name | ast.Attribute) -> bool:
        parent = module.parents.get(node)
        if isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Call) and parent.func is node):
            return False
        path = dotted(node)
        if path is None or self._is_class(module, node):
            return path is not None
        values = self._values(path, module.scope_at(node), module)
        return any(
            not isinstance(inner, ast.FunctionDef) and self._names_classes(home, inner)
            for home, inner in values
        )

    def _is_class(self, module: Module, node: ast.expr) -> bool:
        qualified = self.project.resolve(node, module.scope_at(node), module)
        short = (canonical(qualified) or "").removeprefix(f"{LINEN}.")
        is_layer = short != (canonical(qualified) or "") and short[:1].isupper() and "." not in short
        return qualified in self.cls.known_classes or is_layer


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _is_partial(node: ast.Call) -> bool:
    return bool(node.args) and (dotted(node.func) or "").endswith("partial")
