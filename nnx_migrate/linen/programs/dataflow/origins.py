"""Where a value comes from: the expressions that an expression's value may be, followed backwards.

Through names, conditions, entries of tables that nothing changes, what callers hand over and what functions
of the project return. Attributes and everything else are where it ends.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from nnx_migrate.linen.programs.dataflow.callees import Callee, FunctionNode, Origin, parameter_of
from nnx_migrate.linen.programs.dataflow.reached_returns import returns_of_call
from nnx_migrate.names.modules import Module
from nnx_migrate.names.parameters import defaults
from nnx_migrate.names.reaching import reaches, reaching
from nnx_migrate.names.scopes import Binding, BindingKind, Scope

if TYPE_CHECKING:
    from nnx_migrate.linen.programs.dataflow.flow import FlowFinder

_MAX_DEPTH = 8
#: What shows a table without changing it: methods of dictionaries, and functions.
_LISTING = frozenset({"keys", "values", "items", "get", "copy", "index", "count"})
_COUNTING = frozenset({"len", "list", "sorted", "tuple", "set", "print", "enumerate", "str", "repr"})


class Origins:
    """Follows values backwards, up to `ends`: expressions that are known.

    With `attributes`, also through those of `self` and what constructors of the project's classes get; with
    `methods`, through what calls of methods by their names may hand over, those of other classes with it.
    """

    def __init__(
        self,
        finder: FlowFinder,
        ends: Container[ast.AST] = (),
        attributes: bool = False,
        methods: bool = False,
    ) -> None:
        self.finder, self.ends, self.attributes, self.methods = finder, ends, attributes, methods

    def of(self, module: Module, node: ast.expr, depth: int = 0) -> list[Origin]:
        """Every expression that the value may be."""
        return list(self._of(module, node, depth)) if depth <= _MAX_DEPTH else [None]

    def _of(self, module: Module, node: ast.expr, depth: int) -> Iterator[Origin]:
        if node in self.ends:
            yield module, node
        elif isinstance(node, ast.IfExp):
            yield from self.of(module, node.body, depth + 1)
            yield from self.of(module, node.orelse, depth + 1)
        elif isinstance(node, ast.Name):
            yield from self._of_name(module, module.scope_at(node), node, depth)
        elif isinstance(node, ast.Subscript):
            yield from self._of_elements(module, node.value, (), depth)
        elif isinstance(node, ast.Call):
            yield from self._of_call(module, node, depth)
        elif isinstance(node, ast.Attribute) and self.attributes:
            yield from self._of_attribute(module, node, depth)
        else:
            yield module, node

    def _of_attribute(self, module: Module, node: ast.Attribute, depth: int) -> Iterator[Origin]:
        """`self.torso`: what the methods of the class assign, if nothing else in the project may."""
        index = self.finder.index
        owner = index.receivers.of(module, node.value)
        values = index.attribute_values(node.attr, owner) if owner is not None else []
        if owner is None or len(values) != index.attribute_stores(node.attr, owner) or not values:
            yield module, node
            return
        if _is_declared(owner, node.attr):
            yield module, node
            return
        for where, value in values:
            yield from self.of(where, value, depth + 1)

    def _of_call(self, module: Module, call: ast.Call, depth: int) -> Iterator[Origin]:
        """What a function of the project returns, if it is one."""
        callees = self.finder.callees.of(module, call.func)
        functions = [c for c in callees if isinstance(c.function, ast.FunctionDef)]
        if len(functions) != len(callees) or any(c.klass is not None for c in callees):
            yield module, call
            return
        for callee in functions:
            returns = returns_of_call(callee, call)
            for statement in returns:
                value = statement.value
                yield from self.of(callee.module, value, depth + 1) if value is not None else [None]
            if not returns:
                yield None

    def _of_name(self, module: Module, scope: Scope, node: ast.Name, depth: int) -> Iterator[Origin]:
        binder = scope.binder(node.id)
        if binder is None:
            yield None
            return
        for binding in reaching(module, binder, node.id, scope.lookup(node.id), node):
            value = binding.value
            if value is not None:
                yield from (
                    [None] if _reads_itself(module, binder, binding) else self.of(module, value, depth + 1)
                )
            elif isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield module, node
            elif binding.kind is BindingKind.PARAMETER:
                yield from self._of_parameter(module, scope, binding, depth)
            elif binding.kind is BindingKind.IMPORT:
                yield from self._of_import(module, scope, node, depth)
            else:
                yield from self._of_target(module, binding, depth)

    def _of_import(self, module: Module, scope: Scope, node: ast.Name, depth: int) -> Iterator[Origin]:
        project = self.finder.project
        qualified = project.resolve_name(node.id, scope, module)
        definition = project.definition(qualified) if qualified else None
        value = definition.binding.value if definition is not None else None
        if definition is not None and isinstance(definition.node, ast.FunctionDef | ast.ClassDef):
            yield module, node
        elif definition is None or value is None:
            yield None
        else:
            yield from self.of(definition.module, value, depth + 1)

    def _of_target(self, module: Module, binding: Binding, depth: int) -> Iterator[Origin]:
        """`place, name = TABLE[key]`, `for name in NAMES`."""
        target = binding.node
        path: tuple[int, ...] = ()
        parent = module.parents.get(target)
        if isinstance(parent, ast.Tuple | ast.List) and isinstance(target, ast.expr):
            path, target = (parent.elts.index(target),), parent
            parent = module.parents.get(parent)
        if isinstance(parent, ast.Assign) and target in parent.targets and path:
            if isinstance(parent.value, ast.Subscript):
                yield from self._of_elements(module, parent.value.value, path, depth)
            elif isinstance(parent.value, ast.Tuple | ast.List) and path[0] < len(parent.value.elts):
                yield from self.of(module, parent.value.elts[path[0]], depth + 1)
            elif isinstance(parent.value, ast.Call):
                for origin in self.of(module, parent.value, depth + 1):
                    yield from self._part(origin, path[0], depth)
            else:
                yield None
        elif isinstance(parent, ast.For | ast.comprehension) and parent.target is target:
            yield from self._of_elements(module, parent.iter, path, depth)
        else:
            yield None

    def _part(self, origin: Origin, index: int, depth: int) -> Iterator[Origin]:
        """An element of a tuple that a function returns."""
        if (
            origin is not None
            and isinstance(origin[1], ast.Tuple)
            and not any(isinstance(e, ast.Starred) for e in origin[1].elts[: index + 1])
            and index < len(origin[1].elts)
        ):
            yield from self.of(origin[0], origin[1].elts[index], depth + 1)
        else:
            yield None

    def _of_elements(
        self, module: Module, node: ast.expr, path: tuple[int, ...], depth: int
    ) -> Iterator[Origin]:
        """The elements of a display that is never changed, or their parts at `path`."""
        if isinstance(node, ast.Name):
            scope, name = module.scope_at(node).binder(node.id), node.id
            bindings = module.scope_at(node).lookup(name)
            if len(bindings) == 1 and bindings[0].kind is BindingKind.IMPORT:
                qualified = self.finder.project.resolve(node, module.scope_at(node), module)
                definition = self.finder.project.definition(qualified) if qualified else None
                if definition is not None:
                    module, bindings = definition.module, [definition.binding]
                    scope, name = module.scopes.module, definition.binding.name
            value = bindings[0].value if len(bindings) == 1 else None
            if value is None or scope is None or not self._only_read(module, scope, name):
                yield None
                return
            node = value
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            values += node.values if None not in node.keys else [None]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            values += node.elts
        for value in values or [None]:
            inner = value
            for index in path:
                known = isinstance(inner, ast.Tuple | ast.List) and index < len(inner.elts)
                inner = inner.elts[index] if known and isinstance(inner, ast.Tuple | ast.List) else None
            yield from self.of(module, inner, depth + 1) if inner is not None else [None]

    def _only_read(self, module: Module, scope: Scope, name: str) -> bool:
        """Whether nothing adds to a table: it is only subscripted, looped over and listed."""
        reads = list(self.finder.index.all_reads(module, scope, name))
        for where, read in reads:
            parent = where.parents[read]
            looked_up = isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load)
            looped = isinstance(parent, ast.For | ast.comprehension) and parent.iter is read
            listed = isinstance(parent, ast.Attribute) and parent.attr in _LISTING
            counted = isinstance(parent, ast.Call) and _builtin(where, parent.func) in _COUNTING
            if not (looked_up or looped or listed or counted or isinstance(parent, ast.Compare)):
                return False
        return bool(reads)

    def _of_parameter(self, module: Module, scope: Scope, binding: Binding, depth: int) -> Iterator[Origin]:
        """What the calls of a function hand over, if all of them are known."""
        binder = scope.binder(binding.name)
        function = binder.node if binder is not None else None
        if self.methods and isinstance(function, ast.FunctionDef):
            if binding.name in {a.arg for a in (function.args.vararg, function.args.kwarg) if a is not None}:
                yield None  # it gathers what calls hand over
                return
        owner = module.parents.get(function) if isinstance(function, ast.FunctionDef) else None
        is_method = isinstance(owner, ast.ClassDef)
        is_constructor = (
            self.attributes and isinstance(function, ast.FunctionDef) and function.name == "__init__"
        )
        if (
            isinstance(function, ast.FunctionDef)
            and is_method
            and self.methods
            and function.name != "__init__"
        ):
            yield from self._of_method_parameter(module, function, binding.name, depth)
            return
        if not isinstance(function, ast.FunctionDef) or (is_method and not is_constructor):
            yield None
            return
        if isinstance(owner, ast.ClassDef):
            flow = self.finder.constructions(module, owner)
        else:
            flow = self.finder.function(module, function)
        if flow.escapes or not flow.results or (is_method and flow.is_bound):
            yield None
        for where, call in flow.results:
            passed = None
            if isinstance(call, ast.Call):
                passed = _argument(where, call, function, binding.name, bound=int(is_method))
            default = (
                _default(function, binding.name) if passed is None and isinstance(call, ast.Call) else None
            )
            if passed is not None:
                yield from self.of(where, passed, depth + 1)
            else:
                yield from self.of(module, default, depth + 1) if default is not None else [None]

    def _of_method_parameter(
        self, module: Module, function: ast.FunctionDef, name: str, depth: int
    ) -> Iterator[Origin]:
        """What the calls of a method hand over, as far as they name it: `Trainer.create(...)`."""
        default = _default(function, name)
        reads = self.finder.callees.reads_of(function)
        for where, node, bound in reads:
            call = where.parents.get(node)
            is_call = isinstance(call, ast.Call) and call.func is node
            if not isinstance(call, ast.Call) or not is_call or any(k.arg is None for k in call.keywords):
                yield None
                continue
            passed = _argument(where, call, function, name, bound=bound)
            passed_where, value = (where, passed) if passed is not None else (module, default)
            yield from self.of(passed_where, value, depth + 1) if value is not None else [None]
        if not reads:
            yield None


def _builtin(module: Module, node: ast.expr) -> str:
    known = isinstance(node, ast.Name) and module.scope_at(node).binder(node.id) is None
    return node.id if known and isinstance(node, ast.Name) else ""


def _is_declared(owner: ast.ClassDef, name: str) -> bool:
    """Whether the body of a class binds a name itself, or its methods may bind any."""
    for statement in owner.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(n, ast.Name) and n.id == name for target in targets for n in ast.walk(target)):
                return True
        elif isinstance(statement, ast.FunctionDef) and statement.name == name:
            return True
    return any(
        (isinstance(node, ast.Name) and node.id in ("setattr", "vars"))
        or (isinstance(node, ast.Attribute) and node.attr in ("__dict__", "__setattr__"))
        for node in ast.walk(owner)
    )


def _argument(
    module: Module, call: ast.Call, function: FunctionNode, name: str, bound: int = 0
) -> ast.expr | None:
    """The argument of a call for a parameter."""
    if any(isinstance(a, ast.Starred) for a in call.args):
        return None
    callee = Callee(module, function, bound)
    arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    for passed in arguments:
        if parameter_of(callee, call, passed) == name:
            return passed.value if isinstance(passed, ast.keyword) else passed
    return None


def _default(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The default of a parameter."""
    return next((default for arg, default in defaults(function.args) if arg.arg == name), None)


def _reads_itself(module: Module, scope: Scope, binding: Binding) -> bool:
    """Whether a binding's value depends on the same binding, as in `name = f(name)` in a loop."""
    return any(
        isinstance(node, ast.Name)
        and node.id == binding.name
        and reaches(module, scope, binding.name, binding.node, node)
        for node in ast.walk(binding.value or ast.Pass())
    )
