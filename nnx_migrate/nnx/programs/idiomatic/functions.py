"""The functions of a training program: what a callee is, and every use of a function."""

from __future__ import annotations

import ast
from collections.abc import Callable

from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_generator
from nnx_migrate.names.scopes import Binding, BindingKind
from nnx_migrate.nnx.programs.idiomatic.kinds import Called, Facts, Function, FunctionNode, Grad, NotIdiomatic

JIT = "jax.jit"
PARTIAL = "functools.partial"
GRADS = {"jax.grad": False, "jax.value_and_grad": True}
JIT_KEYWORDS = frozenset({"static_argnums", "static_argnames", "donate_argnums", "donate_argnames"})
_MAX_DEPTH = 8


class Functions:
    """Finds functions and all that a program does with them. `called` gets each call of a tracked one."""

    def __init__(self, index: ProjectIndex, facts: Facts, called: Callable[[Function, Called], None]) -> None:
        self.index, self.project, self.facts, self.called = index, index.project, facts, called

    def qualified(self, module: Module, node: ast.expr) -> str:
        """The qualified name of an expression, "" where it has none."""
        return self.project.resolve(node, module.scope_at(node), module) or ""

    def find(self, module: Module, callee: ast.expr, depth: int = 0) -> tuple[Function, Grad | None] | None:
        """The function of the project that a callee is, and the gradient that is taken of it."""
        if depth > _MAX_DEPTH:
            return None
        if isinstance(callee, ast.Lambda):
            return self.tracked(module, callee), None
        if isinstance(callee, ast.Call):
            return self._of_call(module, callee, depth)
        if isinstance(callee, ast.Name):
            bindings = module.scope_at(callee).lookup(callee.id)
            if len(bindings) == 1 and bindings[0].kind is not BindingKind.IMPORT:
                return self._of_binding(module, bindings[0], depth)
        definition = self.project.definition(self.qualified(module, callee) or ".")
        if definition is None:
            return None
        return self._of_binding(definition.module, definition.binding, depth)

    def _of_binding(
        self, module: Module, binding: Binding, depth: int
    ) -> tuple[Function, Grad | None] | None:
        if isinstance(binding.node, ast.FunctionDef) and binding.kind is BindingKind.FUNCTION:
            if module.scope_at(binding.node).is_class:
                return None
            return self.tracked(module, binding.node), None
        if binding.kind is BindingKind.ASSIGNMENT and binding.value is not None:
            return self.find(module, binding.value, depth + 1)
        return None

    def _of_call(self, module: Module, call: ast.Call, depth: int) -> tuple[Function, Grad | None] | None:
        qualified = self.qualified(module, call.func)
        if not call.args or not (self.is_jit(module, call.func) or qualified in GRADS):
            return None
        inner = self.find(module, call.args[0], depth + 1)
        if inner is None or qualified not in GRADS:
            return inner
        function, grad = inner
        if grad is not None:
            raise NotIdiomatic("a gradient of a gradient", module, call)
        return function, self._grad(module, call)

    def is_jit(self, module: Module, node: ast.expr) -> bool:
        """`jax.jit`, `partial(jax.jit, static_argnums=0)`, `jax.jit(static_argnums=0)`."""
        if not isinstance(node, ast.Call):
            return self.qualified(module, node) == JIT
        qualified = self.qualified(module, node.func)
        if qualified == PARTIAL and len(node.args) == 1:
            return self.qualified(module, node.args[0]) == JIT
        return qualified == JIT and not node.args

    def _grad(self, module: Module, call: ast.Call) -> Grad:
        for grad in (g for f in self.facts.functions.values() for g in f.grads):
            if grad.call is call:
                return grad
        given = {k.arg: k.value for k in call.keywords}
        positional = list(zip(("argnums", "has_aux"), call.args[1:], strict=False))
        given |= dict(positional)
        values = {name: v.value for name, v in given.items() if isinstance(v, ast.Constant)}
        argnums, aux = values.get("argnums", 0), values.get("has_aux", False)
        known = given.keys() <= {"argnums", "has_aux"} and given.keys() == values.keys()
        if not known or not isinstance(argnums, int) or not isinstance(aux, bool) or positional:
            raise NotIdiomatic("options of `jax.grad`", module, call)
        return Grad(module, call, GRADS[self.qualified(module, call.func)], argnums, aux)

    def tracked(self, module: Module, node: FunctionNode) -> Function:
        """The function, all of whose uses are known from now on."""
        if node in self.facts.functions:
            return self.facts.functions[node]
        function = Function(module, node, module.scopes.of_node[node])
        self.facts.functions[node] = function
        if isinstance(node, ast.Lambda):
            self._use(function, module, node, None, 0)
            return function
        args = node.args
        if args.vararg or args.kwarg or is_generator(node):
            raise NotIdiomatic(f"the signature of `{node.name}`", module, node)
        for decorator in node.decorator_list:
            if not self.is_jit(module, decorator):
                raise NotIdiomatic(f"the decorator of `{node.name}`", module, decorator)
            function.jits.append((module, decorator))
        self._name(function, module, node, node.name, None, 0)
        return function

    def _name(
        self, function: Function, module: Module, node: ast.AST, name: str, grad: Grad | None, depth: int
    ) -> None:
        """All reads of a name that stands for the function."""
        scope = module.scope_at(node)
        binder = scope.binder(name) or scope
        if len(binder.bindings.get(name, ())) != 1 or binder.is_class:
            raise NotIdiomatic(f"`{name}` has several meanings", module, node)
        for where, read in self.index.all_reads(module, binder, name):
            self._use(function, where, read, grad, depth)

    def _use(self, function: Function, module: Module, node: ast.expr, grad: Grad | None, depth: int) -> None:
        parent = module.parents[node]
        if depth > _MAX_DEPTH:
            raise NotIdiomatic("a function is handed on too often", module, node)
        if isinstance(parent, ast.Call) and parent.func is node:
            called = Called(module, parent, grad)
            function.calls.append(called)
            self.called(function, called)
        elif isinstance(parent, ast.Call) and parent.args and parent.args[0] is node:
            if self.is_jit(module, parent.func):
                function.jits.append((module, parent))
                self._use(function, module, parent, grad, depth + 1)
            elif self.qualified(module, parent.func) in GRADS and grad is None:
                found = self._grad(module, parent)
                function.grads.append(found)
                self._use(function, module, parent, found, depth + 1)
            else:
                raise NotIdiomatic(
                    f"`{function.name}` is handed to `{ast.unparse(parent.func)}`", module, node
                )
        elif isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            target = parent.targets[0]
            if not isinstance(target, ast.Name):
                raise NotIdiomatic(f"`{function.name}` is stored", module, node)
            self._name(function, module, target, target.id, grad, depth + 1)
        else:
            raise NotIdiomatic(f"`{function.name}` is used as a value", module, node)
