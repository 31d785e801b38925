"""Where a value goes: from the expression that makes it through names, arguments, fields and containers.

The flow is followed forwards and generously: where a name, a field or an element could hold the value, it
counts as holding it. A use that isn't understood is an escape, never silence.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import replace

from nnx_migrate.linen.programs.callees import (
    PARTIAL,
    TRANSPARENT,
    Callee,
    Callees,
    FunctionNode,
    parameter_of,
    taken_by,
)
from nnx_migrate.linen.programs.containers import ANY, Within, elements, items_of_call, stored_under
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.uses import FLAX_ENDS, End, Flow
from nnx_migrate.linen.programs.walk import Walk
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind, dotted

_MAX_STEPS = 5_000
_MAX_NESTING = 4
# Calls that take a value and keep nothing of it.
_HARMLESS = frozenset(
    {
        "print", "repr", "str", "id", "type", "hash", "len", "hasattr", "pprint.pprint", "bool",
        "dir", "sum", "callable", "functools.wraps", "inspect.signature",
    }
)  # fmt: skip
# Libraries whose functions take arrays, numbers and text, never a module: what goes there is something else.
_NEVER_MODULES = (
    "jax.numpy.", "numpy.", "jax.lax.", "jax.nn.", "jax.random.", "jax.tree", "optax.", "tensorflow.",
    "torch.", "os.", "logging.", "absl.logging.", "math.", "time.", "json.", "wandb.", "tqdm.", "matplotlib.",
    "importlib.",
)  # fmt: skip
_HARMLESS_DECORATORS = (
    "pytest.", "absl.testing.", "typing.", "flax.linen.", "chex.", "jax.", "functools.", "abc.", "torch.",
)  # fmt: skip
_BUILTIN_DECORATORS = frozenset({"staticmethod", "classmethod", "property"})
_DISPLAYS = (
    ast.Tuple, ast.List, ast.Set, ast.Dict, ast.DictComp, ast.ListComp, ast.SetComp, ast.GeneratorExp,
)  # fmt: skip
_WRAPPERS = TRANSPARENT | PARTIAL | {"staticmethod"}


class FlowFinder:
    """Follows values through a project. `holders` are classes that keep what they get (Linen modules)."""

    def __init__(self, index: ProjectIndex, holders: Collection[ast.ClassDef] = ()) -> None:
        self.index, self.project, self.holders = index, index.project, frozenset(holders)
        self.callees = Callees(self.index)
        self._functions: dict[FunctionNode, Flow] = {}

    def follow(self, module: Module, node: ast.expr, is_object: bool = True) -> Flow:
        """The flow of the value of an expression: an object, or else a class."""
        walk = _Walk(self, is_object)
        walk.found(module, node)
        return walk.run()

    def function(self, module: Module, function: FunctionNode) -> Flow:
        """The flow of a function: its calls, and where it is handed to."""
        if function not in self._functions:
            self._functions[function] = Flow()  # a function that returns itself adds nothing
            walk = _Walk(self)
            walk.function(module, function)
            self._functions[function] = walk.run()
        return self._functions[function]


class _Walk(Walk):
    """One value on its way. `within` says where it sits in what an expression gives: () is the value itself."""

    def __init__(self, finder: FlowFinder, is_object: bool = True) -> None:
        super().__init__(finder.index)
        self.is_object = is_object
        self.finder, self.project, self.callees = finder, finder.project, finder.callees

    def run(self) -> Flow:
        steps = 0
        while self.pending or self.by_name:
            steps += 1
            self.sure = self.sure and bool(self.pending)
            module, node, within = self.pending.pop() if self.pending else self.by_name.pop()
            if steps > _MAX_STEPS:
                self.escape(module, node, "its flow is too long to be followed")
                break
            if (node, within) in self.seen:
                continue
            self.seen.add((node, within))
            if len(within) > _MAX_NESTING:
                self.escape(module, node, "it is stored in a container")
            elif within:
                self.element(module, node, within)
            else:
                self.occurrence(module, node)
        return self.flow

    # ---- what the code around an expression does with it --------------------------------------------------

    def occurrence(self, module: Module, node: ast.expr) -> None:
        """The value is that of `node`."""
        parent = module.parents[node]
        if isinstance(parent, ast.Attribute):
            self.end(module, parent, End.ATTRIBUTE)
        elif isinstance(parent, ast.Call) and parent.func is node:
            self.end(module, parent, End.CALL)
        elif isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and node in parent.decorator_list:
            self.decorates(module, parent)
        elif isinstance(
            parent, ast.Expr | ast.Compare | ast.FormattedValue | ast.IfExp | ast.If | ast.Assert
        ):
            self.passed_on(module, node, parent, ())
        elif not self.passed_on(module, node, parent, ()) and not (
            self.is_object and _needs_more(parent, node)
        ):
            self.escape(module, node, f"it is used in a way that can't be followed ({type(parent).__name__})")

    def element(self, module: Module, node: ast.expr, within: Within) -> None:
        """The value is in a container that `node` gives."""
        parent = module.parents[node]
        inner = elements(module, node, within)
        if inner is not None:
            for expression, rest in inner.expressions:
                self.found(module, expression, rest)
            for target, rest in inner.targets:
                self.target(module, target, rest)
        elif isinstance(parent, ast.Starred) and isinstance(call := module.parents[parent], ast.Call):
            self.spread(module, call, parent, within)
        elif not self.passed_on(module, node, parent, within):
            self.escape(module, node, "it is stored in a container")

    def spread(self, module: Module, call: ast.Call, starred: ast.Starred, within: Within) -> None:
        """`f(*values)`: the value becomes a positional argument."""
        first = call.args.index(starred)
        key = within[0] if not any(isinstance(a, ast.Starred) for a in call.args[:first]) else ANY
        for callee in self.callees.of(module, call.func):
            if callee.klass is not None and callee.klass in self.finder.holders:
                self.end(module, call, End.HELD)
            elif isinstance(key, str) or callee.qualified in _HARMLESS:
                continue  # the keys of a dictionary
            elif callee.function is not None:
                for name in taken_by(callee, first, key):
                    self.parameter(callee.module, callee.function, name, within[1:])
            elif callee.fields is not None:
                for name in callee.fields[first:] if key is ANY else callee.fields[first + key :][:1]:
                    self.attribute_named(name, within[1:], callee.klass)
            else:
                self.escape(module, starred, f"it is passed to `{ast.unparse(call.func)}` by unpacking")

    def passed_on(self, module: Module, node: ast.expr, parent: ast.AST, within: Within) -> bool:
        """What happens to values and containers alike; False where that isn't known."""
        if isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr) and parent.value is node:
            for target in parent.targets if isinstance(parent, ast.Assign) else [parent.target]:
                self.target(module, target, within)
            if isinstance(parent, ast.NamedExpr):
                self.found(module, parent, within)
        elif isinstance(parent, ast.Call):
            self.argument(module, parent, node, within)
        elif isinstance(parent, ast.keyword):
            call = module.parents[parent]
            if not isinstance(call, ast.Call):
                return False
            if parent.arg is None:
                return self.unpacked(module, call, within)
            self.argument(module, call, parent, within)
        elif isinstance(parent, ast.Return | ast.Lambda):
            self.returned(module, parent, within)
        elif isinstance(parent, ast.Yield):
            self.returned(module, parent, (ANY, *within))
        elif (isinstance(parent, ast.IfExp) and parent.test is not node) or isinstance(
            parent, ast.BoolOp | ast.Await
        ):
            self.found(module, parent, within)
        elif isinstance(parent, _DISPLAYS):
            key = stored_under(parent, node)
            if key is None:
                return False
            self.found(module, parent, (*key, *within))
        elif isinstance(parent, ast.AugAssign) and within and parent.value is node:
            self.stored(module, parent.target, within)
        elif isinstance(parent, ast.arguments):
            self.default(module, parent, node, within)
        else:  # the rest only looks at it
            return isinstance(
                parent,
                ast.Expr | ast.Compare | ast.FormattedValue | ast.IfExp | ast.If | ast.Assert | ast.Delete,
            )
        return True

    def argument(
        self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword, within: Within
    ) -> None:
        callees = self.callees.of(module, call.func)
        inside = items_of_call(module, call, passed, within)
        if inside is not None and not (inside.may_be_project and any(c.function for c in callees)):
            # list(values), enumerate(values), values.append(value)
            self.pending += [(module, expression, rest) for expression, rest in inside.expressions]
            for holder, rest in inside.targets:
                self.stored(module, holder, rest)
            return
        if self.project.resolve(call.func, module.scope_at(call.func), module) in PARTIAL and call.args:
            if passed is call.args[0]:
                self.found(module, call, within)
                return
            if all(callee.function is None for callee in callees):
                callees = [replace(c, kept=True) for c in self.callees.of(module, call.args[0])]
        for callee in callees:
            self.to_callee(module, call, passed, callee, within)

    def to_callee(
        self,
        module: Module,
        call: ast.Call,
        passed: ast.expr | ast.keyword,
        callee: Callee,
        within: Within,
    ) -> None:
        node = passed.value if isinstance(passed, ast.keyword) else passed
        place = call.args.index(passed) if isinstance(passed, ast.expr) else -1
        if callee.klass is not None and callee.klass in self.finder.holders:
            self.end(module, call, End.HELD)
        elif (callee.qualified, place) in FLAX_ENDS and not within:
            self.end(module, call, FLAX_ENDS[callee.qualified or "", place])
        elif callee.function is not None:
            parameter = parameter_of(callee, call, passed)
            if parameter is None:
                self.escape(module, node, f"it is passed to `{ast.unparse(call.func)}` by unpacking")
            else:
                self.parameter(callee.module, callee.function, parameter, within)
        elif callee.fields is not None:
            name = passed.arg if isinstance(passed, ast.keyword) else callee.field_at(call, node)
            if name:
                self.attribute_named(name, within, callee.klass)
        elif callee.qualified == "getattr" and place == 0 and len(call.args) >= 2:
            if not within:
                self.end(module, call, End.LOOKED_UP)
        elif self._is_harmless(module, call, callee.qualified or ""):
            return
        elif callee.passes_on or (callee.qualified in _WRAPPERS and place == 0):
            self.found(module, call, within)
        elif callee.stores_keywords and isinstance(passed, ast.keyword) and passed.arg:
            self.attribute_named(passed.arg, within)
        elif not self._parametrised(module, call, passed, within):
            self.escape(module, node, f"it is passed to `{ast.unparse(call.func)}`")

    def _is_harmless(self, module: Module, call: ast.Call, qualified: str) -> bool:
        if qualified == "isinstance":
            return not self._asks_for_linen(module, call)
        return qualified in _HARMLESS or qualified.startswith(_NEVER_MODULES)

    def _asks_for_linen(self, module: Module, call: ast.Call) -> bool:
        """Whether `isinstance` compares with Linen's classes, or with ones that can't be told."""
        if len(call.args) != 2:
            return True
        kinds = call.args[1].elts if isinstance(call.args[1], ast.Tuple) else [call.args[1]]
        for kind in kinds:
            name = self.project.resolve(kind, module.scope_at(kind), module) or ""
            builtin = isinstance(kind, ast.Name) and module.scope_at(kind).binder(kind.id) is None
            definition = self.project.definition(name) if name else None
            if definition is not None and definition.node in self.finder.holders:
                return True
            if not builtin and (not name or name.startswith("flax.")):
                return True
        return False

    def unpacked(self, module: Module, call: ast.Call, within: Within) -> bool:
        """`f(**values)`, the value being under a key that is known."""
        key = within[0] if within else ANY
        if not isinstance(key, str):
            return False
        for callee in self.callees.of(module, call.func):
            if callee.klass is not None and callee.klass in self.finder.holders:
                self.end(module, call, End.HELD)
            elif callee.function is not None:
                args = callee.function.args
                if key in [a.arg for a in (*args.args, *args.kwonlyargs)]:
                    self.parameter(callee.module, callee.function, key, within[1:])
                elif args.kwarg is not None:
                    self.parameter(callee.module, callee.function, args.kwarg.arg, within)
            elif callee.fields is not None:
                self.attribute_named(key, within[1:], callee.klass)
            elif callee.qualified in ("dict", "builtins.dict"):
                self.found(module, call, within)
            else:
                return False
        return True

    def _parametrised(
        self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword, within: Within
    ) -> bool:
        """`@parameterized.product(model=(A, B))`: the function's parameter of that name gets the values."""
        function = module.parents[call]
        name = passed.arg if isinstance(passed, ast.keyword) else None
        if not (
            isinstance(function, ast.FunctionDef) and call in function.decorator_list and name and within
        ):
            return False
        args = function.args
        if name not in [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]:
            return False
        self.parameter(module, function, name, within[1:])
        return True

    # ---- functions --------------------------------------------------------------------------------------

    def returned(self, module: Module, place: ast.Return | ast.Lambda | ast.Yield, within: Within) -> None:
        """The value is what a function returns: follow it at the function's calls."""
        function = (
            place
            if isinstance(place, ast.Lambda)
            else module.enclosing(place, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        )
        if not isinstance(function, FunctionNode) or ("result", function, within) in self.seen:
            return
        self.seen.add(("result", function, within))
        if isinstance(function, ast.FunctionDef) and _is_property(function):
            self.attribute_named(function.name, within, _class_around(module, function))
            return
        flow = self.finder.function(module, function)
        self.reads(flow.results, within)
        for use in flow.escapes[:1]:
            self.escape(use.module, use.node, f"it is returned by a function, which escapes: {use.why}")

    def function(self, module: Module, function: FunctionNode) -> None:
        """Follow a function: every expression that names it."""
        if isinstance(function, ast.Lambda):
            self.found(module, function)
            return
        for decorator in function.decorator_list:
            self.decorated(module, function, decorator)
        scope = module.scope_at(function)
        if scope.is_class:
            self.reads(self.index.attribute_reads(function.name, _class_around(module, function)), ())
        else:
            self.name(module, scope, function.name, ())

    def decorated(
        self, module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef, decorator: ast.expr
    ) -> None:
        """A decorator gets the function: a wrapper of JAX, a fixture of pytest, or code that keeps it."""
        head = decorator.func if isinstance(decorator, ast.Call) else decorator
        scope = module.scope_at(function)
        qualified = self.project.resolve(head, scope, module) or ""
        if qualified in PARTIAL and isinstance(decorator, ast.Call) and decorator.args:
            inner = decorator.args[0]
            qualified = self.project.resolve(inner, scope, module) or ""
        if qualified == "pytest.fixture":
            self.fixture(function.name)
            return
        if qualified in TRANSPARENT or qualified.startswith(_HARMLESS_DECORATORS):
            return
        if isinstance(decorator, ast.Name) and decorator.id in _BUILTIN_DECORATORS:
            return
        callees = self.callees.of(module, decorator) if not isinstance(decorator, ast.Call) else []
        wrappers = [c for c in callees if c.function is not None and c.function.args.args]
        for wrapper in wrappers:
            assert wrapper.function is not None
            self.parameter(wrapper.module, wrapper.function, wrapper.function.args.args[0].arg, ())
        if not wrappers:
            self.escape(module, decorator, "it is decorated by code that may keep it")

    def decorates(self, module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """The value is a decorator: what it returns is bound to the function's name."""
        scope = module.scope_at(function)
        reads: Iterable[tuple[Module, ast.expr]]
        reads = self.index.attribute_reads(function.name, _class_around(module, function))
        if not scope.is_class:
            reads = self.index.all_reads(module, scope, function.name)
        for where, read in reads:
            self.end(where, read, End.CALL)

    def fixture(self, name: str) -> None:
        """What a fixture returns is a parameter of that name in tests."""
        for module in self.project.modules():
            for node, scope in module.scopes.of_node.items():
                if isinstance(node, ast.FunctionDef) and any(
                    b.kind is BindingKind.PARAMETER for b in scope.bindings.get(name, ())
                ):
                    for where, read in self.index.name_reads(module, scope, name):
                        self.end(where, read, End.CALL)


def _needs_more(parent: ast.AST, node: ast.expr) -> bool:
    """Whether a use only works for arrays, numbers and containers: then the value is another one here."""
    if isinstance(parent, ast.Subscript):
        return parent.value is node
    if isinstance(parent, ast.For | ast.comprehension):
        return parent.iter is node
    return isinstance(parent, ast.BinOp | ast.UnaryOp | ast.AugAssign | ast.Slice | ast.Starred)


def _class_around(module: Module, function: ast.AST) -> ast.ClassDef | None:
    """The class whose body a function stands in."""
    owner = module.parents.get(function)
    return owner if isinstance(owner, ast.ClassDef) else None


def _is_property(function: ast.FunctionDef) -> bool:
    return any(
        (dotted(d) or "").rpartition(".")[2] in ("property", "cached_property")
        for d in function.decorator_list
    )
