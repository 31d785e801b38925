"""What a callee is: a function of the project, a class of it, or something from outside."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.reaching import reaching
from nnx_migrate.names.scopes import Binding, BindingKind, Scope

#: An expression with its file; None stands for a value that can't be followed.
Origin = tuple[Module, ast.expr] | None
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# Wrappers whose result is called with the same arguments as the function they wrap.
TRANSPARENT = frozenset(
    {
        "jax.jit", "jax.pmap", "jax.vmap", "jax.grad", "jax.value_and_grad", "jax.checkpoint", "jax.remat",
        "jax.named_call", "jax.experimental.pjit.pjit", "jax.shard_map", "flax.nnx.jit",
        "chex.assert_max_traces",
        "functools.wraps", "functools.lru_cache", "functools.cache",
    }
)  # fmt: skip
PARTIAL = frozenset({"functools.partial", "jax.tree_util.Partial"})
RELOADERS = frozenset({"importlib.reload", "imp.reload"})
_TUPLES = frozenset({"typing.NamedTuple", "collections.namedtuple"})
_PASSES_ON = frozenset({"copy.copy", "copy.deepcopy", "functools.partial", "jax.tree_util.Partial"})


@dataclass(frozen=True)
class Callee:
    """One thing that a call may call.

    `function` with the number of arguments bound before the call's own (`self`, those of a partial); `kept`
    where the call only binds arguments. `klass` is a class of the project, `fields` its fields if it has no
    constructor of its own; `is_tuple` where these are the parts of a named tuple.
    """

    module: Module
    function: FunctionNode | None = None
    bound: int = 0
    kept: bool = False
    fields: tuple[str, ...] | None = None
    qualified: str | None = None
    stores_keywords: bool = False
    klass: ast.ClassDef | None = None
    is_tuple: bool = False

    @property
    def passes_on(self) -> bool:
        """Whether the result holds the argument."""
        return self.qualified in _PASSES_ON

    def field_at(self, call: ast.Call, node: ast.expr) -> str | None:
        """The field that a positional argument sets."""
        if self.fields is None or any(isinstance(a, ast.Starred) for a in call.args):
            return None
        index = call.args.index(node) - self.kept
        return self.fields[index] if index < len(self.fields) else None


def parameter_of(callee: Callee, call: ast.Call, passed: ast.expr | ast.keyword) -> str | None:
    """The parameter that takes an argument, None where unpacking hides it."""
    function = callee.function
    assert function is not None
    args = function.args
    names = [a.arg for a in [*args.posonlyargs, *args.args]]
    if isinstance(passed, ast.keyword):
        if passed.arg in names or passed.arg in [a.arg for a in args.kwonlyargs]:
            return passed.arg
        return args.kwarg.arg if args.kwarg is not None and passed.arg is not None else None
    arguments = call.args[1:] if callee.kept else call.args
    if passed not in arguments or any(
        isinstance(a, ast.Starred) for a in arguments[: arguments.index(passed)]
    ):
        return None
    index = arguments.index(passed) + callee.bound
    if index < len(names):
        return names[index]
    return args.vararg.arg if args.vararg is not None else None


def taken_by(callee: Callee, first: int, offset: int | None) -> list[str]:
    """The parameters that `*values` at the position `first` may fill with its item `offset` (None: with any)."""
    assert callee.function is not None
    args = callee.function.args
    names = [a.arg for a in [*args.posonlyargs, *args.args]]
    start = first + callee.bound - callee.kept
    taken = names[start:] if offset is None else names[start + offset :][:1]
    if args.vararg is not None and (offset is None or not taken):
        taken.append(args.vararg.arg)
    return taken


class Callees:
    """Finds out what is called."""

    def __init__(self, index: ProjectIndex, origins: Callable[[Module, ast.expr], Sequence[Origin]]) -> None:
        """`origins` tells the expressions that the value of another one may be."""
        self.index, self.project, self.origins = index, index.project, origins
        self._open: set[ast.expr] = set()
        self._reads: dict[ast.FunctionDef, list[tuple[Module, ast.Attribute, int]]] = {}

    def of(self, module: Module, node: ast.expr, depth: int = 0) -> list[Callee]:
        """What a callee expression means; something from outside where it is no part of the project."""
        if depth > 8:
            return [Callee(module)]
        if isinstance(node, ast.Lambda):
            return [Callee(module, node)]
        if isinstance(node, ast.Call):
            return self._of_call(module, node, depth)
        if isinstance(node, ast.Subscript):
            return self._of_origins(module, node, depth)
        scope = module.scope_at(node)
        if isinstance(node, ast.Name):
            found = self._of_name(module, scope, node, depth)
            if found:
                return found
        if isinstance(node, ast.Attribute):
            found = self._of_method(module, node, depth)
            if found:
                return found
        qualified = self.project.resolve(node, scope, module)
        if qualified in PARTIAL:
            call = module.parents[node]
            if isinstance(call, ast.Call) and call.func is node and call.args:
                inner = self.of(module, call.args[0], depth + 1)
                if all(c.function is not None for c in inner):
                    return [Callee(c.module, c.function, c.bound, True) for c in inner]
            return [Callee(module, qualified=qualified)]
        if (defined := self._of_definition(qualified)) is not None:
            return [defined]
        if (bound := self._of_partial(qualified, depth)) is not None:
            return [bound]
        if isinstance(node, ast.Attribute) and node.attr in ("replace", "_replace", "create"):
            return [Callee(module, stores_keywords=True)]
        return [Callee(module, qualified=qualified or (node.id if isinstance(node, ast.Name) else None))]

    def reads_of(self, method: ast.FunctionDef) -> list[tuple[Module, ast.Attribute, int]]:
        """Where code names a method, as in `Trainer.create(...)`, with how many arguments it gets before a call's."""
        if method in self._reads:
            return self._reads[method]
        found = [
            (module, node, own[0].bound)
            for module, node in self.index.attribute_reads(method.name)
            if (own := [c for c in self.of(module, node) if c.function is method])
        ]
        if not self._open:  # else what is being looked for is missing
            self._reads[method] = found
        return found

    def _of_definition(self, qualified: str | None) -> Callee | None:
        """A function or class of the project."""
        definition = self.project.definition(qualified) if qualified else None
        if definition is not None:
            if isinstance(definition.node, ast.FunctionDef | ast.AsyncFunctionDef):
                is_class_method = has_decorator(definition.node, "classmethod")
                return Callee(definition.module, definition.node, 1 if is_class_method else 0)
            if isinstance(definition.node, ast.ClassDef):
                return self._of_class(definition.module, definition.node)
        return None

    def _of_partial(self, qualified: str | None, depth: int) -> Callee | None:
        """The class that another file has made a partial of: `TanhNormal = partial(Normal, squash_tanh=True)`."""
        definition = self.project.definition(qualified) if qualified else None
        value = definition.binding.value if definition is not None else None
        if definition is None or not isinstance(value, ast.Call) or len(value.args) != 1:
            return None
        module = definition.module
        if self.project.resolve(value.func, module.scope_at(value.func), module) not in PARTIAL:
            return None
        found = self.of(module, value.args[0], depth + 1)
        return found[0] if len(found) == 1 and found[0].klass is not None else None

    def _of_origins(self, module: Module, node: ast.expr, depth: int) -> list[Callee]:
        """`STEPS[kind](state)`, `model, step = build()`: what tables hold and functions return."""
        if node in self._open:
            return [Callee(module)]
        self._open.add(node)
        found: list[Callee] = []
        for origin in self.origins(module, node):
            if origin is not None and isinstance(origin[1], ast.Constant):
                continue  # such as None, whose call fails
            found += self.of(*origin, depth + 1) if origin is not None else [Callee(module)]
        self._open.remove(node)
        return found

    def _of_call(self, module: Module, node: ast.Call, depth: int) -> list[Callee]:
        """`jax.jit(step)(...)`, `partial(step, model)(...)`."""
        qualified = self.project.resolve(node.func, module.scope_at(node.func), module)
        if qualified in TRANSPARENT and node.args:
            return self.of(module, node.args[0], depth + 1)
        if qualified in PARTIAL and node.args:
            bound = len(node.args) - 1
            inner = self.of(module, node.args[0], depth + 1)
            return [Callee(c.module, c.function, c.bound + bound) if c.function else c for c in inner]
        if qualified in _TUPLES:
            parts = _parts(node)
            return [Callee(module, fields=parts, is_tuple=parts is not None)]
        called = self.of(module, node.func, depth + 1)
        if called and all(isinstance(c.function, ast.FunctionDef) and c.klass is None for c in called):
            return self._of_origins(module, node, depth)  # `register("net")(Net)`
        return [Callee(module)]

    def _of_name(self, module: Module, scope: Scope, node: ast.Name, depth: int) -> list[Callee]:
        found: list[Callee] = []
        name, binder = node.id, scope.binder(node.id)
        bindings = scope.lookup(name)
        several = len(bindings) > 1 and self.project.resolve(node, scope, module) is None
        for binding in reaching(module, binder, name, bindings, node) if binder is not None else bindings:
            owner = _class_of_parameter(module, scope, binding)
            if owner is not None:
                found.append(self._of_class(module, owner))
                continue
            if isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(Callee(module, binding.node))
            elif isinstance(binding.node, ast.ClassDef):
                found.append(self._of_class(module, binding.node))
            elif isinstance(binding.value, ast.Call | ast.Lambda | ast.Name | ast.Attribute):
                if isinstance(binding.value, ast.Name) and binding.value.id == name:
                    continue
                found += self.of(module, binding.value, depth + 1)
            elif binding.kind is BindingKind.IMPORT and several:  # in branches, each of which brings its own
                qualified = self.project.canonical(binding.target, module)
                found.append(self._of_definition(qualified) or Callee(module, qualified=qualified))
            elif binding.kind is BindingKind.ASSIGNMENT and binding.value is None:
                return self._of_origins(module, node, depth)
        return found

    def _of_method(self, module: Module, node: ast.Attribute, depth: int) -> list[Callee]:
        """`self.step` in a method; for other objects, every method of that name in the project."""
        receivers = self.index.receivers
        owner = receivers.of(module, node.value)
        is_super = isinstance(node.value, ast.Call)
        is_self = isinstance(node.value, ast.Name) and node.value.id == self_name(node, module)
        if owner is None or not (is_super or is_self):
            if self.project.resolve(node, module.scope_at(node), module) is not None:
                return self._of_global(module, node)
            if _is_text(module, node.value):
                return [Callee(module)]
            return [Callee(m, f, _bound_by(f)) for m, f in self.index.methods(node.attr)]
        found = [Callee(m, f, _bound_by(f)) for m, f in receivers.methods(owner, node.attr, is_super)]
        if is_super and (not found or receivers.starts_outside(owner)):
            found.append(Callee(module))
        if found:
            return found
        return [
            c
            for where, value in self.index.attribute_values(node.attr, owner)
            for c in self.of(where, value, depth + 1)
        ]

    def _of_global(self, module: Module, node: ast.Attribute) -> list[Callee]:
        """`MODELS.register`, a method of an object that a file of the project makes; none if it is no such thing."""
        qualified = self.project.resolve(node.value, module.scope_at(node), module)
        definition = self.project.definition(qualified) if qualified else None
        value = definition.binding.value if definition is not None else None
        if definition is None or not isinstance(value, ast.Call):
            return []
        made = [callee.klass for callee in self.of(definition.module, value.func)]
        receivers = self.index.receivers
        if len(made) != 1 or made[0] is None:
            return []
        return [Callee(m, f, _bound_by(f)) for m, f in receivers.methods(made[0], node.attr, False)]

    def _of_class(self, module: Module, node: ast.ClassDef) -> Callee:
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                return Callee(module, statement, 1, klass=node)
        fields = tuple(
            s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        )
        bases = [self.project.resolve(base, module.scope_at(base), module) for base in node.bases]
        return Callee(module, fields=fields, klass=node, is_tuple=bool(_TUPLES.intersection(bases)))


def _parts(call: ast.Call) -> tuple[str, ...] | None:
    """The names in `namedtuple("Nets", ["actor", "critic"])` and `NamedTuple("Nets", [("actor", Any)])`."""
    given = call.args[1] if len(call.args) > 1 and not call.keywords else None
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return tuple(given.value.replace(",", " ").split())
    names: list[str] = []
    for item in given.elts if isinstance(given, ast.List | ast.Tuple) else [None]:
        name = item.elts[0] if isinstance(item, ast.Tuple) and item.elts else item
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            return None
        names.append(name.value)
    return tuple(names)


def _is_text(module: Module, node: ast.expr) -> bool:
    """Whether an expression is a text, or a parameter that is declared to be one: `name.split(":")`."""
    if isinstance(node, ast.Constant | ast.JoinedStr):
        return isinstance(node, ast.JoinedStr) or isinstance(node.value, str)
    scope = module.scope_at(node).binder(node.id) if isinstance(node, ast.Name) else None
    if scope is None or not isinstance(node, ast.Name):
        return False
    bindings = reaching(module, scope, node.id, scope.lookup(node.id), node)
    annotations = [b.node.annotation if isinstance(b.node, ast.arg) else None for b in bindings]
    return bool(bindings) and all(a is not None and ast.unparse(a) == "str" for a in annotations)


def _bound_by(method: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many arguments an instance gives to a method that is called on it."""
    return 0 if has_decorator(method, "staticmethod") else 1


def has_decorator(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    """Whether a builtin decorator stands above a function."""
    return any(isinstance(d, ast.Name) and d.id == name for d in function.decorator_list)


def _class_of_parameter(module: Module, scope: Scope, binding: Binding) -> ast.ClassDef | None:
    """The class that `cls` means in a class method."""
    if binding.kind is not BindingKind.PARAMETER:
        return None
    binder = scope.binder(binding.name)
    function = binder.node if binder is not None else None
    owner = module.parents.get(function) if function is not None else None
    if (
        isinstance(function, ast.FunctionDef)
        and isinstance(owner, ast.ClassDef)
        and has_decorator(function, "classmethod")
    ):
        first = [*function.args.posonlyargs, *function.args.args][:1]
        return owner if first and first[0].arg == binding.name else None
    return None
