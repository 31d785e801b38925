"""Following values through a project: from where they are made to every place that uses them.

A rule that changes what an object *is* has to see all of its uses. `Follower` starts from seed
expressions and moves along names, attributes of `self`, fields of the project's dataclasses, tuples,
arguments and returns of the project's functions (also behind `jit`, `pmap`, `partial`). What the rule
knows about the object itself (its attributes, the library calls that take it) it says through
`Semantics`.

Two properties make the answer trustworthy:
- closed: a use that isn't understood is an *escape*, and with an escape nothing may be rewritten;
- unmixed: each name, parameter, field and return that carries a followed value carries only such values.
"""

from __future__ import annotations

import ast
from collections import deque
from dataclasses import dataclass, field

from nnx_migrate.engine.callees import PARTIAL, Callee, Callees, FunctionNode
from nnx_migrate.engine.follow_checks import check_unmixed
from nnx_migrate.engine.follow_fields import Fields
from nnx_migrate.engine.follow_kinds import DONE, Element, Escape, Function, Holder, Kind, Semantics, Value
from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_none
from nnx_migrate.names.parameters import defaults
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Scope

_DEEPEST = 8  # tuples in tuples that are followed
_MOST_FUNCTIONS = 100  # a value that goes through more of them is everywhere: nobody would rewrite all that


@dataclass
class Follower:
    """Follows values of one rule. `run`, then look at `values` and `escapes`."""

    project: Project
    semantics: Semantics
    callees: Callees
    handled: set[FunctionNode] = field(default_factory=set)  # methods whose results the semantics know
    values: dict[ast.expr, Value] = field(default_factory=dict)
    escapes: list[Escape] = field(default_factory=list)
    names: dict[tuple[Scope, str], tuple[Module, Kind]] = field(default_factory=dict)
    bound: set[tuple[Scope, str, ast.AST]] = field(default_factory=set)
    queue: deque[Value] = field(default_factory=deque)
    functions: dict[FunctionNode, Module] = field(default_factory=dict)
    calls: dict[FunctionNode, list[tuple[Module, ast.Call, Callee]]] = field(default_factory=dict)
    parameters: dict[tuple[FunctionNode, ast.arg], Kind] = field(default_factory=dict)
    returns: dict[FunctionNode, dict[Kind, set[ast.AST]]] = field(default_factory=dict)
    attributes: dict[tuple[ast.ClassDef, str], tuple[Module, Kind]] = field(default_factory=dict)
    stores: set[ast.AST] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.fields = Fields(self)

    def run(self, seeds: list[Value]) -> None:
        """Follow the seeds to every use."""
        for seed in seeds:
            self.add(seed.module, seed.node, seed.kind)
        while self.queue:
            value = self.queue.popleft()
            if isinstance(value.kind, Function):
                self._use_function(value, value.kind.callee)
            else:
                self._use(value)
        check_unmixed(self)

    def kind_of(self, node: ast.expr) -> Kind | None:
        """The kind of a followed expression."""
        value = self.values.get(node)
        return value.kind if value else None

    def only_call(self, module: Module, node: ast.AST) -> tuple[Module, ast.Call, Callee] | None:
        """The one call in the project of the function around `node`; None where there are none or several."""
        function = module.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef)
        calls = self.calls.get(function, []) if isinstance(function, ast.FunctionDef) else []
        return calls[0] if len(calls) == 1 else None

    def escape(self, module: Module, node: ast.AST, why: str) -> None:
        """A value gets out of sight here."""
        self.escapes.append(Escape(module, node, why))

    def add(self, module: Module, node: ast.expr, kind: Kind) -> None:
        """An expression evaluates to such a value."""
        known = self.values.get(node)
        if known is None:
            self.values[node] = Value(module, node, kind)
            self.queue.append(self.values[node])
        elif known.kind != kind and not isinstance(kind, Function | Element):
            self.escape(module, node, "it may be one thing or another here")
        elif known.kind != kind and isinstance(kind, Element):
            self.queue.append(Value(module, node, kind))  # a second element of the same tuple

    # -- one use ------------------------------------------------------------------------------------------

    def _use(self, value: Value) -> None:
        module, node, kind = value.module, value.node, value.kind
        parent = module.parents[node]
        if isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr) and parent.value is node:
            for target in parent.targets if isinstance(parent, ast.Assign) else [parent.target]:
                self._store(module, target, kind, parent)
            if isinstance(parent, ast.NamedExpr):
                self.add(module, parent, kind)
        elif isinstance(parent, ast.Attribute):
            self._attribute(value, parent)
        elif isinstance(parent, ast.Call) and parent.func is node:
            self._continue(value, parent, self.semantics.called(value, parent))
        elif isinstance(parent, ast.Call):
            self._passed(value, parent, node)
        elif isinstance(parent, ast.keyword):
            call = module.parents[parent]
            if isinstance(call, ast.Call) and parent.arg is not None:
                self._passed(value, call, parent)
            else:
                self.escape(module, parent, "it is passed with ** or to a class statement")
        elif isinstance(parent, ast.Tuple | ast.List) and isinstance(parent.ctx, ast.Load):
            if any(isinstance(e, ast.Starred) for e in parent.elts):
                self.escape(module, parent, "it stands in a tuple beside an unpacked one")
            elif isinstance(kind, Element) and kind.depth == _DEEPEST:
                self.escape(module, parent, "it stands in more and more tuples")
            else:
                self.add(module, parent, Element(parent.elts.index(node), len(parent.elts), kind))
        elif isinstance(parent, ast.IfExp) and parent.test is not node:
            self.add(module, parent, kind)
        elif isinstance(parent, ast.Return):
            self._return(module, parent, kind)
        elif isinstance(parent, ast.Lambda):
            self._returned(module, parent, kind, parent)
        elif isinstance(parent, ast.Expr) or (isinstance(parent, ast.Compare) and _is_none_test(parent)):
            pass
        elif isinstance(parent, ast.arguments):
            self._default(module, parent, node, kind)
        elif isinstance(parent, ast.Subscript) and parent.value is node and isinstance(kind, Element):
            self._element(module, parent, kind)
        else:
            self._continue(value, parent, self.semantics.other(value, parent))

    def _continue(self, value: Value, node: ast.AST, kind: Kind | None) -> None:
        if kind is None:
            self.escape(value.module, node, "it is used in a way that can't be followed")
        elif kind != DONE:
            assert isinstance(node, ast.expr)
            self.add(value.module, node, kind)

    def _element(self, module: Module, node: ast.Subscript, kind: Element) -> None:
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(node.slice, ast.UnaryOp) and isinstance(node.slice.operand, ast.Constant):
            index = kind.size - node.slice.operand.value if isinstance(node.slice.op, ast.USub) else None  # type: ignore[operator]
        if not isinstance(index, int):
            self.escape(module, node, "it is taken out of a tuple by an index that isn't constant")
        elif index == kind.index:
            self.add(module, node, kind.kind)

    def _attribute(self, value: Value, node: ast.Attribute) -> None:
        module, kind = value.module, value.kind
        if isinstance(kind, Holder):
            self.fields.attribute(module, node, kind)
            return
        if isinstance(kind, Element):
            self.escape(module, node, f"`.{node.attr}` of a tuple that holds it")
            return
        result = self.semantics.attribute(value, node)
        if result is None:
            self.escape(module, node, f"`.{node.attr}` of it is used")
        elif result[1] != DONE:
            self.add(module, result[0], result[1])

    # -- names and attributes -----------------------------------------------------------------------------

    def _store(self, module: Module, target: ast.expr, kind: Kind, statement: ast.AST) -> None:
        if isinstance(target, ast.Name):
            scope = module.scope_at(target).binder(target.id) or module.scope_at(target)
            if not any(r.scope.binder(target.id) is scope for r in module.scopes.names.get(target.id, ())):
                if scope.is_module and self.project.exports.uses(module.path, target.id):
                    self.escape(module, target, f"`{target.id}` is used by other files")
                return  # nobody here reads it: `_`
            self.bound |= {(scope, target.id, statement), (scope, target.id, target)}
            self._name(module, scope, target.id, kind)
        elif isinstance(target, ast.Tuple | ast.List):
            starred = any(isinstance(e, ast.Starred) for e in target.elts)
            if isinstance(kind, Element) and kind.size == len(target.elts) and not starred:
                self._store(module, target.elts[kind.index], kind.kind, target.elts[kind.index])
            else:
                self.escape(module, target, "it is unpacked")
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            owner = module.enclosing(target, ast.ClassDef)
            if not isinstance(owner, ast.ClassDef) or target.value.id != self_name(target, module):
                self.escape(module, target, "it is stored in an attribute of another object")
                return
            self.stores.add(target)
            self._self_attribute(module, owner, target.attr, kind)
        else:
            self.escape(module, target, "it is stored in a container")

    def _name(self, module: Module, scope: Scope, name: str, kind: Kind) -> None:
        key = (scope, name)
        if key in self.names:
            if self.names[key][1] != kind:
                self.escape(module, scope.bindings[name][0].node, f"`{name}` holds different things")
            return
        self.names[key] = (module, kind)
        for reference in module.scopes.names.get(name, ()):
            if reference.scope.binder(name) is scope:
                self.add(module, reference.node, kind)
        if scope.is_module and self.project.exports.uses(module.path, name):
            self.escape(module, scope.bindings[name][0].node, f"`{name}` is used by other files")

    def _self_attribute(self, module: Module, owner: ast.ClassDef, attr: str, kind: Kind) -> None:
        key = (owner, attr)
        if key in self.attributes:
            if self.attributes[key][1] != kind:
                self.escape(module, owner, f"`.{attr}` holds different things")
            return
        self.attributes[key] = (module, kind)
        for other, node in self.callees.attributes(attr):
            own = isinstance(node.value, ast.Name) and node.value.id == self_name(node, other)
            inside = other is module and other.enclosing(node, ast.ClassDef) is owner
            if inside and own:
                if isinstance(node.ctx, ast.Load):
                    self.add(module, node, kind)
            elif not own or _may_inherit(other, node, owner):
                self.escape(other, node, f"`.{attr}` is also used from outside of its class")

    # -- calls --------------------------------------------------------------------------------------------

    def _passed(self, value: Value, call: ast.Call, passed: ast.expr | ast.keyword) -> None:
        module = value.module
        func = call.func
        if isinstance(func, ast.Attribute) and isinstance(self.kind_of(func.value), Holder):
            holder = self.kind_of(func.value)
            assert isinstance(holder, Holder)
            if func.attr in ("replace", "_replace") and isinstance(passed, ast.keyword):
                self.fields.store(module, call, passed, value.kind, holder.owner)
                return
        owner = self.fields.owner(module, call)
        if owner is not None:
            self.fields.store(module, call, passed, value.kind, owner)
            return
        callee = self.callees.of(module, func)
        if callee is not None:
            parameter = callee.parameter(call, passed)
            if parameter is None:
                self.escape(module, call, "which parameter it goes to is open")
                return
            self._follow_function(callee.module, callee.node)
            self._into_parameter(callee, parameter, value.kind)
            return
        wrapped = self.callees.wrapped(module, call)
        if wrapped is not None and isinstance(passed, ast.expr) and call.args.index(passed) > 0:
            inner = self.callees.of(module, wrapped[1])
            bound = inner.parameters[inner.bound :] if inner and wrapped[0] == PARTIAL else []
            index = call.args.index(passed) - 1
            if inner is not None and index < len(bound):
                self._follow_function(inner.module, inner.node)
                self._into_parameter(inner, bound[index], value.kind)
                return
        self._continue(value, call, self.semantics.passed(value, call, self.callees.name(module, func)))

    def _into_parameter(self, callee: Callee, parameter: ast.arg, kind: Kind) -> None:
        key = (callee.node, parameter)
        if self.parameters.setdefault(key, kind) != kind:
            self.escape(callee.module, parameter, f"parameter `{parameter.arg}` gets different things")
        scope = callee.module.scopes.of_node[callee.node]
        self.bound.add((scope, parameter.arg, parameter))
        self._name(callee.module, scope, parameter.arg, kind)

    # -- functions ----------------------------------------------------------------------------------------

    def parameter(self, module: Module, function: FunctionNode, parameter: ast.arg, kind: Kind) -> None:
        """A parameter is known to get such values (from its annotation)."""
        self._follow_function(module, function)
        self._into_parameter(Callee(module, function), parameter, kind)

    def _default(self, module: Module, arguments: ast.arguments, node: ast.expr, kind: Kind) -> None:
        """The value is a parameter's default."""
        function = module.parents[arguments]
        assert isinstance(function, FunctionNode)
        parameter = next(arg for arg, default in defaults(arguments) if default is node)
        self.parameter(module, function, parameter, kind)

    def _follow_function(self, module: Module, node: FunctionNode) -> None:
        """Find every call of a function that gets or returns followed values."""
        if node in self.functions:
            return
        self.functions[node] = module
        self.calls[node] = []
        if len(self.functions) > _MOST_FUNCTIONS:
            self.escape(module, node, "it goes through more functions than are followed")
            self.queue.clear()
            return
        references = self.callees.references(module, node)
        if references is None:
            self.escape(module, node, "it goes through a method that other objects' attributes may mean")
            return
        for other, reference in references:
            callee = self.callees.of(other, reference)
            if callee is None or callee.node is not node:
                self.escape(
                    other, reference, "it goes through a function under decorators that can't be seen through"
                )
            else:
                self.add(other, reference, Function(callee))

    def _use_function(self, value: Value, callee: Callee) -> None:
        module, node = value.module, value.node
        parent = module.parents[node]
        if isinstance(parent, ast.Call) and parent.func is node:
            self.calls[callee.node].append((module, parent, callee))
            for kind in list(self.returns.get(callee.node, {})):
                self._result(module, parent, callee, kind)
            return
        if isinstance(parent, ast.Call) and self.callees.wrapped(module, parent) and parent.args[0] is node:
            outer = self.callees.of(module, parent)
            if outer is not None:
                self.add(module, parent, Function(outer))
                return
        if isinstance(parent, ast.Call) and self.callees.name(module, parent.func) == PARTIAL:
            outer = self.callees.of(
                module, parent
            )  # partial(jit, ...) of a decorator, or a function bound by name
            if outer is not None and outer.node is callee.node:
                self.add(module, parent, Function(outer))
                return
        if isinstance(parent, ast.Assign) and parent.value is node and len(parent.targets) == 1:
            target = parent.targets[0]
            if isinstance(target, ast.Name):
                scope = module.scope_at(target).binder(target.id) or module.scope_at(target)
                if scope.is_module and self.project.exports.uses(module.path, target.id):
                    self.escape(module, parent, f"`{target.id}` is used by other files")
                for reference in module.scopes.names.get(target.id, ()):
                    if reference.scope.binder(target.id) is scope:
                        found = self.callees.of(module, reference.node)
                        if found is not None and found.node is callee.node:
                            self.add(module, reference.node, Function(found))
                        elif reference.node is not node:
                            self.escape(module, reference.node, f"`{target.id}` holds different functions")
                return
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                owner = module.enclosing(target, ast.ClassDef)
                if isinstance(owner, ast.ClassDef) and target.value.id == self_name(target, module):
                    for other, use in self.callees.attributes(target.attr):
                        found = self.callees.of(other, use) if use is not target else None
                        if found is not None and found.node is callee.node:
                            self.add(other, use, Function(found))
                        elif use is not target:
                            self.escape(other, use, f"`.{target.attr}` may be called from elsewhere")
                    return
        if isinstance(parent, ast.Expr):
            return
        self.escape(module, parent, "a function that handles it is passed on")

    def _return(self, module: Module, statement: ast.Return, kind: Kind) -> None:
        function = module.enclosing(statement, ast.FunctionDef, ast.AsyncFunctionDef)
        if function in self.handled:
            return
        if isinstance(function, ast.FunctionDef):
            self._returned(module, function, kind, statement)
        else:
            self.escape(module, statement, "it is returned by a coroutine")

    def _returned(self, module: Module, function: FunctionNode, kind: Kind, at: ast.AST) -> None:
        kinds = self.returns.setdefault(function, {})
        known = kind in kinds
        kinds.setdefault(kind, set()).add(at)
        if not known:
            self._follow_function(module, function)
            for other, call, callee in list(self.calls.get(function, ())):
                self._result(other, call, callee, kind)

    def _result(self, module: Module, call: ast.Call, callee: Callee, kind: Kind) -> None:
        if callee.returns:
            self.add(module, call, kind)
        else:
            self.escape(module, call, "a function that is differentiated returns it")


def _may_inherit(module: Module, node: ast.AST, owner: ast.ClassDef) -> bool:
    """True where a `self.attr` in another class may mean the attribute of `owner` through inheritance."""
    cls = module.enclosing(node, ast.ClassDef)
    if not isinstance(cls, ast.ClassDef) or cls is owner:
        return True
    names = {n.id if isinstance(n, ast.Name) else getattr(n, "attr", "") for n in [*cls.bases, *owner.bases]}
    return bool(cls.name in names or owner.name in names)


def _is_none_test(node: ast.Compare) -> bool:
    return all(isinstance(o, ast.Is | ast.IsNot) for o in node.ops) and is_none(node.comparators[-1])
