"""A NamedTuple class that is passed as a static argument, with all that is done with its instances."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from nnx_migrate.rules._sites import RefusalError
from nnx_migrate.rules._static_arguments import JIT, Jitting, decorator_jitting, jitting

from nnx_migrate.engine.callees import PARTIAL, Callees, FunctionNode
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.follow import Follower
from nnx_migrate.engine.follow_kinds import DONE, Function, Kind, Value
from nnx_migrate.engine.positions import type_position
from nnx_migrate.names.modules import Module

CONFIG = "config"
_SHOWS = {"print", "repr", "str", "hash", "isinstance", "type", "id"}
_TRACING = {"jax.vmap", "jax.pmap", "jax.checkpoint", "jax.remat", "jax.experimental.pjit.pjit"}


@dataclass
class _Semantics:
    fields: set[str]
    methods: set[str]
    makers: set[str] = field(default_factory=set)  # methods that return an instance
    replaced: dict[ast.Call, Module] = field(default_factory=dict)
    as_dicts: dict[ast.Call, Module] = field(default_factory=dict)

    def attribute(self, value: Value, node: ast.Attribute) -> tuple[ast.expr, Kind] | None:
        """Fields, methods, `_replace`, `_asdict`."""
        parent = value.module.parents[node]
        call = parent if isinstance(parent, ast.Call) and parent.func is node else None
        if not isinstance(node.ctx, ast.Load):
            return None
        if call is not None and node.attr in self.makers:
            return call, CONFIG
        if node.attr in self.fields or node.attr in self.methods:
            return node, DONE
        if call is not None and not call.args and node.attr == "_replace":
            self.replaced[call] = value.module
            return call, CONFIG
        if call is not None and not call.args and not call.keywords and node.attr == "_asdict":
            self.as_dicts[call] = value.module
            return call, DONE
        return None

    def passed(self, value: Value, call: ast.Call, callee: str | None) -> Kind | None:
        """Functions that only look at it."""
        builtin = isinstance(call.func, ast.Name) and callee is None and call.func.id in _SHOWS
        if builtin and call.func.id == "isinstance" and isinstance(call.args[-1], ast.Name | ast.Attribute):  # type: ignore[attr-defined]
            return None if ast.unparse(call.args[-1]) == "tuple" else DONE
        return DONE if builtin and call.func.id != "isinstance" else None  # type: ignore[attr-defined]

    def called(self, value: Value, call: ast.Call) -> Kind | None:
        """Instances aren't called."""
        return None

    def other(self, value: Value, parent: ast.AST) -> Kind | None:
        """f-strings and `del`."""
        return DONE if isinstance(parent, ast.FormattedValue | ast.Delete) else None


class Uses:
    """One NamedTuple class with all its instances."""

    def __init__(self, project: ProjectContext, callees: Callees, module: Module, node: ast.ClassDef) -> None:
        self.project, self.callees, self.module, self.node = project, callees, module, node
        self.qualified = project.project.resolve_name(node.name, module.scope_at(node), module) or ""
        statements = [s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
        self.fields = {s.target.id: s for s in statements if isinstance(s.target, ast.Name)}
        self.methods = {s.name: s for s in node.body if isinstance(s, ast.FunctionDef)}
        plain = {
            t.id for s in node.body if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)
        }
        self.semantics = _Semantics(set(self.fields), {*self.methods, *plain})
        self.follower = Follower(project.project, self.semantics, callees)
        makers = {name: m for name, m in self.methods.items() if self._makes_one(m)}
        self.semantics.makers = set(makers)
        self.follower.handled = set(makers.values())
        self.problems: list[RefusalError] = []

    def follow(self) -> bool:
        """Follow all instances. False where none of them is a static argument."""
        seeds: list[Value] = []
        for module, node in self.callees.mentions(self.node.name, self.module):
            if self.callees.name(module, node) != self.qualified:
                continue
            parent = module.parents[node]
            if isinstance(parent, ast.Call) and parent.func is node:
                seeds.append(Value(module, parent, CONFIG))
            elif isinstance(parent, ast.arg):
                self._annotated(module, parent)
            elif isinstance(parent, ast.Attribute) and self._is_called_on_class(module, parent):
                if parent.attr in self.semantics.makers:
                    call = module.parents[parent]
                    assert isinstance(call, ast.Call)
                    seeds.append(Value(module, call, CONFIG))
            elif not self._harmless(module, node, parent):
                self._problem("class-as-value", module, node, f"`{self.node.name}` itself is used as a value")
        for method in self.methods.values():
            self._self(method)
        self.follower.run(seeds)
        self.jits = self._jits()
        static = [(j, f, p) for (f, p), j in self.jits if j.is_static(f, p)]
        self.static = static
        return bool(static)

    def _makes_one(self, method: ast.FunctionDef) -> bool:
        """True where a method returns an instance, made by `_replace` or the constructor, in every case."""
        returns = [n.value for n in ast.walk(method) if isinstance(n, ast.Return)]
        first = method.args.args[0].arg if method.args.args else ""
        makers = {f"{first}._replace", first, self.node.name}
        return bool(returns) and all(
            isinstance(v, ast.Call) and ast.unparse(v.func) in makers for v in returns
        )

    def _is_called_on_class(self, module: Module, node: ast.Attribute) -> bool:
        """`Config.default()`: a class or static method."""
        method = self.methods.get(node.attr)
        call = module.parents[node]
        marks = {ast.unparse(d) for d in method.decorator_list} if method else set()
        return (
            bool(marks & {"classmethod", "staticmethod"}) and isinstance(call, ast.Call) and call.func is node
        )

    def _harmless(self, module: Module, node: ast.expr, parent: ast.AST) -> bool:
        if (
            isinstance(parent, ast.Call)
            and isinstance(parent.func, ast.Name)
            and parent.func.id == "isinstance"
        ):
            return True
        return type_position(node, self.project.file(module))

    def _annotated(self, module: Module, arg: ast.arg) -> None:
        """A parameter with the class as its annotation."""
        function = module.parents[module.parents[arg]]
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            self.follower.parameter(module, function, arg, CONFIG)

    def _self(self, method: ast.FunctionDef) -> None:
        decorators = {ast.unparse(d) for d in method.decorator_list}
        if not method.args.args or "staticmethod" in decorators:
            return
        name = method.args.args[0].arg
        scope = self.module.scopes.of_node[method]
        for reference in self.module.scopes.names.get(name, ()):
            if reference.scope.binder(name) is not scope:
                continue
            if "classmethod" in decorators:
                parent = self.module.parents[reference.node]
                if not (isinstance(parent, ast.Call) and parent.func is reference.node):
                    self._problem(
                        "class-as-value", self.module, reference.node, f"`{name}` is used as a value"
                    )
                else:
                    self.follower.add(self.module, parent, CONFIG)
            else:
                self.follower.add(self.module, reference.node, CONFIG)

    def _problem(self, reason: str, module: Module, node: ast.AST, why: str) -> None:
        self.problems.append(RefusalError(reason, f"{module.path.name}:{getattr(node, 'lineno', 0)}: {why}"))

    def _jits(self) -> list[tuple[tuple[FunctionNode, ast.arg], Jitting]]:
        """Each jit of each function that gets an instance, by parameter."""
        parameters = [key for key, kind in self.follower.parameters.items() if kind == CONFIG]
        parameters += [(m, m.args.args[0]) for m in self.methods.values() if m.args.args]
        found: list[tuple[tuple[FunctionNode, ast.arg], Jitting]] = []
        for function, parameter in parameters:
            module = self.follower.functions.get(function, self.module)
            for decorator in getattr(function, "decorator_list", ()):
                jit = decorator_jitting(module, decorator, self.callees)
                if jit is not None:
                    found.append(((function, parameter), jit))
                elif self._traces(module, decorator):
                    self._problem("traced", module, decorator, "a transformation takes it apart as a pytree")
            for value in self.follower.values.values():
                if not isinstance(value.kind, Function) or value.kind.callee.node is not function:
                    continue
                call = value.module.parents[value.node]
                if not isinstance(call, ast.Call) or call.args[:1] != [value.node]:
                    continue
                name = self.callees.name(value.module, call.func)
                if name in JIT:
                    if value.kind.callee.bound and not isinstance(value.node, ast.Attribute):
                        self._problem(
                            "partial", value.module, call, "arguments are bound before the function is jitted"
                        )
                    found.append(((function, parameter), jitting(value.module, call, call, self.callees)))
                elif name in _TRACING:
                    self._problem("traced", value.module, call, "a transformation takes it apart as a pytree")
        return found

    def _traces(self, module: Module, decorator: ast.expr) -> bool:
        call = decorator if isinstance(decorator, ast.Call) else None
        names = [self.callees.name(module, call.func if call else decorator)]
        if call is not None and names == [PARTIAL] and call.args:
            names.append(self.callees.name(module, call.args[0]))
        return any(n in _TRACING for n in names)
