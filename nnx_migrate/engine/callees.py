"""Which function of the project a call runs, and who calls a function.

Seen through wrappers that hand their arguments on position by position (`jax.jit`, `jax.pmap`, ...) and
through `functools.partial`. What isn't understood is None: the value is then out of sight.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Scope

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# Wrappers whose result takes the wrapped function's arguments, and returns what it returns.
TRANSPARENT = frozenset(
    {
        "jax.jit",
        "jax.api.jit",
        "jax.pmap",
        "jax.vmap",
        "jax.checkpoint",
        "jax.remat",
        "jax.named_call",
        "jax.experimental.pjit.pjit",
        "flax.nnx.jit",
        "functools.wraps",
    }
)
# Wrappers whose result takes the wrapped function's arguments, but returns something else.
DIFFERENTIATING = frozenset({"jax.grad", "jax.value_and_grad", "jax.jacfwd", "jax.jacrev", "jax.hessian"})
PARTIAL = "functools.partial"


@dataclass(frozen=True)
class Callee:
    """A function of the project as some expression means it.

    `bound` leading parameters and those named in `keywords` are already given (self, `functools.partial`);
    `returns` is False where a wrapper changes what comes back (`jax.grad`).
    """

    module: Module
    node: FunctionNode
    bound: int = 0
    keywords: frozenset[str] = frozenset()
    returns: bool = True

    @property
    def parameters(self) -> list[ast.arg]:
        """Parameters that take positional arguments."""
        return [*self.node.args.posonlyargs, *self.node.args.args]

    def parameter(self, call: ast.Call, passed: ast.expr | ast.keyword) -> ast.arg | None:
        """The parameter that an argument of a call of this callee goes to; None where that is open."""
        if isinstance(passed, ast.keyword):
            everything = [*self.node.args.args, *self.node.args.kwonlyargs]
            return next((a for a in everything if a.arg == passed.arg and passed.arg), None)
        index = call.args.index(passed)
        if any(isinstance(a, ast.Starred) for a in call.args[: index + 1]):
            return None
        index += self.bound
        return self.parameters[index] if index < len(self.parameters) else None

    def argument(self, call: ast.Call, parameter: ast.arg) -> ast.expr | None:
        """What a call passes for a parameter; None where it passes nothing or that is open."""
        for keyword in call.keywords:
            if keyword.arg == parameter.arg:
                return keyword.value
        if parameter in self.parameters:
            index = self.parameters.index(parameter) - self.bound
            if 0 <= index < len(call.args) and not any(
                isinstance(a, ast.Starred) for a in call.args[: index + 1]
            ):
                return call.args[index]
        return None


class Callees:
    """Answers for a whole project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._modules: dict[str, list[Module]] = {}
        self._attributes: dict[Module, dict[str, list[ast.Attribute]]] = {}
        self._with_attribute: dict[str, list[Module]] = {}
        self._readers: dict[tuple[str, Module], list[Module]] = {}

    def attributes(self, name: str) -> Iterator[tuple[Module, ast.Attribute]]:
        """Every `<anything>.name` of the project."""
        for module in self._having_attribute(name):
            if module not in self._attributes:
                index = self._attributes[module] = {}
                for node in ast.walk(module.tree):
                    if isinstance(node, ast.Attribute):
                        index.setdefault(node.attr, []).append(node)
            for node in self._attributes[module].get(name, ()):
                yield module, node

    def mentions(self, name: str, home: Module) -> Iterator[tuple[Module, ast.Name | ast.Attribute]]:
        """Every place that may mean by `name` what the module `home` defines under it."""
        for module in self._reading(name, home):
            for reference in module.scopes.names.get(name, ()):
                yield module, reference.node
        for module, node in self.attributes(name):
            if isinstance(node.ctx, ast.Load):
                yield module, node

    def _having_attribute(self, name: str) -> list[Module]:
        if name not in self._with_attribute:
            self._with_attribute[name] = list(self.project.matching(re.compile(rf"\.\s*{name}\b")))
        return self._with_attribute[name]

    def _reading(self, name: str, home: Module) -> list[Module]:
        """The module that defines a name, and those that import or assign one of that name from elsewhere."""
        if (name, home) not in self._readers:
            paths = {home.path, *(module.path for module in self._having_attribute(name))}
            paths.update(self.project.exports.importers(name))
            modules = (self.project.module(path) for path in self.project.paths if path in paths)
            self._readers[name, home] = [module for module in modules if module is not None]
        return self._readers[name, home]

    def mentioning(self, name: str) -> list[Module]:
        """Modules whose text contains `name`."""
        if name not in self._modules:
            self._modules[name] = list(self.project.mentioning(name))
        return self._modules[name]

    def name(self, module: Module, node: ast.expr) -> str | None:
        """Qualified name of a callee."""
        return self.project.resolve(node, module.scope_at(node), module)

    def wrapped(self, module: Module, call: ast.Call) -> tuple[str, ast.expr] | None:
        """(wrapper, function) of `jax.jit(f)`, `partial(f, ...)`, `partial(jax.jit, ...)(f)`."""
        if not call.args or isinstance(call.args[0], ast.Starred):
            return None
        name = self.name(module, call.func) if not isinstance(call.func, ast.Call) else None
        if (
            isinstance(call.func, ast.Call)
            and self.name(module, call.func.func) == PARTIAL
            and call.func.args
        ):
            name = self.name(module, call.func.args[0])
        if name in TRANSPARENT or name in DIFFERENTIATING or name == PARTIAL:
            return str(name), call.args[0]
        return None

    def of(self, module: Module, node: ast.expr, depth: int = 0) -> Callee | None:
        """The function that an expression means."""
        if depth > 8:
            return None
        if isinstance(node, ast.Lambda):
            return Callee(module, node)
        if isinstance(node, ast.Call):
            wrapped = self.wrapped(module, node)
            inner = self.of(module, wrapped[1], depth + 1) if wrapped else None
            return self.wrap(inner, wrapped[0], node) if wrapped and inner else None
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = module.enclosing(node, ast.ClassDef)
            if isinstance(owner, ast.ClassDef) and node.value.id == self_name(node, module):
                methods = [s for s in owner.body if isinstance(s, _DEFINITIONS) and s.name == node.attr]
                if len(methods) == 1:
                    return self._plain(module, methods[0], bound=1)
                return self._of_self_attribute(module, owner, node.attr, depth)
        if isinstance(node, ast.Name):
            return self._of_name(module, node.id, module.scope_at(node), depth)
        return self._of_qualified(self.name(module, node))

    def _of_self_attribute(self, module: Module, owner: ast.ClassDef, attr: str, depth: int) -> Callee | None:
        """`self.step = jax.jit(step)`, assigned once."""
        values = [
            inner.value
            for inner in ast.walk(owner)
            if isinstance(inner, ast.Assign)
            for target in inner.targets
            if isinstance(target, ast.Attribute)
            and target.attr == attr
            and isinstance(target.value, ast.Name)
            and target.value.id == self_name(target, module)
        ]
        return self.of(module, values[0], depth + 1) if len(values) == 1 else None

    def _of_name(self, module: Module, name: str, scope: Scope, depth: int) -> Callee | None:
        found: list[Callee | None] = []
        for binding in scope.lookup(name):
            if isinstance(binding.node, _DEFINITIONS):
                found.append(self._plain(module, binding.node))
            elif binding.value is not None:
                if depth and isinstance(binding.value, ast.Call) and self._rewraps(binding.value, name):
                    continue  # step = jax.jit(step): the other binding says what it is
                found.append(self.of(module, binding.value, depth + 1))
            else:
                qualified = self.project.resolve_name(name, scope, module)
                found.append(self._of_qualified(qualified))
        if not found:
            return self._of_qualified(self.project.resolve_name(name, scope, module))
        same = all(f is not None and found[0] is not None and f.node is found[0].node for f in found)
        return found[0] if same and len({(f.bound, f.keywords, f.returns) for f in found if f}) == 1 else None

    @staticmethod
    def _rewraps(call: ast.Call, name: str) -> bool:
        return any(isinstance(a, ast.Name) and a.id == name for a in call.args)

    def _of_qualified(self, qualified: str | None) -> Callee | None:
        definition = self.project.definition(qualified) if qualified else None
        if definition is None:
            return None
        if isinstance(definition.node, ast.ClassDef):
            return self._constructor(definition.module, definition.node)
        if isinstance(definition.node, _DEFINITIONS):
            return self._plain(definition.module, definition.node)
        if definition.binding.value is not None and definition.binding.value is not definition.node:
            return self.of(definition.module, definition.binding.value, 1)
        return None

    def _constructor(self, module: Module, node: ast.ClassDef) -> Callee | None:
        """`__init__` of a class that has one and no decorators."""
        methods = [s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
        if len(methods) != 1 or node.decorator_list or node.keywords:
            return None
        return self._plain(module, methods[0], bound=1)

    def wrap(self, inner: Callee, wrapper: str, call: ast.Call) -> Callee | None:
        """The callee that a wrapper makes of another."""
        if wrapper in DIFFERENTIATING:
            return replace(inner, returns=False)
        if wrapper == PARTIAL:
            if any(isinstance(a, ast.Starred) for a in call.args) or any(
                k.arg is None for k in call.keywords
            ):
                return None
            names = frozenset(str(k.arg) for k in call.keywords)
            return replace(inner, bound=inner.bound + len(call.args) - 1, keywords=inner.keywords | names)
        return inner

    def _plain(self, module: Module, node: FunctionNode, bound: int = 0) -> Callee | None:
        """The callee of a definition, if its decorators leave arguments and results as they are."""
        callee = Callee(module, node, bound)
        for decorator in getattr(node, "decorator_list", ()):
            target = decorator
            if isinstance(decorator, ast.Call):
                target = decorator.func
                if self.name(module, target) == PARTIAL and decorator.args:
                    target = decorator.args[0]
            name = self.name(module, target) if not isinstance(target, ast.Call) else None
            if name in DIFFERENTIATING:
                callee = replace(callee, returns=False)
            elif isinstance(target, ast.Name) and target.id == "staticmethod":
                callee = replace(callee, bound=0)
            elif name not in TRANSPARENT:
                return None
        return callee

    def references(self, module: Module, node: FunctionNode) -> Iterator[tuple[Module, ast.expr]] | None:
        """All places of the project that mention a function; None where they can't be listed."""
        if isinstance(node, ast.Lambda):
            return iter([(module, node)])
        owner = module.parents.get(node)
        if isinstance(owner, ast.ClassDef):
            if node.name == "__init__":
                return self._constructions(module, owner)
            return self._method_references(module, owner, node.name)
        scope = module.scope_at(node)
        return self._name_references(module, scope, node.name)

    def _name_references(self, module: Module, scope: Scope, name: str) -> Iterator[tuple[Module, ast.expr]]:
        for reference in module.scopes.names.get(name, ()):
            if reference.scope.binder(name) is scope:
                yield module, reference.node
        if scope.is_module:
            qualified = f"{module.name}.{name}"
            for other, node in self.mentions(name, module):
                if other is not module and self.name(other, node) == qualified:
                    yield other, node

    def _constructions(self, module: Module, owner: ast.ClassDef) -> Iterator[tuple[Module, ast.expr]] | None:
        """Calls of a class; None where it is derived from or used as a value."""
        qualified = self.project.resolve_name(owner.name, module.scope_at(owner), module)
        found: list[tuple[Module, ast.expr]] = []
        for other, node in self.mentions(owner.name, module):
            if self.name(other, node) != qualified:
                continue
            parent = other.parents[node]
            if isinstance(parent, ast.Call) and parent.func is node:
                found.append((other, node))
            elif isinstance(
                parent, ast.ClassDef | ast.keyword | ast.Return | ast.Tuple | ast.List | ast.Dict
            ) or (isinstance(parent, ast.Call) and ast.unparse(parent.func) != "isinstance"):
                return None
        return iter(found)

    def _method_references(
        self, module: Module, owner: ast.ClassDef, name: str
    ) -> Iterator[tuple[Module, ast.expr]] | None:
        """`self.name` inside of the class; None where another object's attribute may mean the method."""
        found: list[tuple[Module, ast.expr]] = []
        for other, node in self.attributes(name):
            inside = other is module and module.enclosing(node, ast.ClassDef) is owner
            if not (inside and isinstance(node.value, ast.Name) and node.value.id == self_name(node, module)):
                return None
            found.append((other, node))
        return iter(found)
