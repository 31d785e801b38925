"""Where a value goes: from the expression that makes it through names, arguments, fields and containers.

The flow is followed forwards and generously: where a name, a field or an element could hold the value, it
counts as holding it. A use that isn't understood is an escape, never silence.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from nnx_migrate.linen.programs.dataflow.callees import (
    PARTIAL,
    TRANSPARENT,
    Callees,
    FunctionNode,
)
from nnx_migrate.linen.programs.dataflow.containers import ANY, Within, elements, stored_under
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.dataflow.passing import Passing
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.uses import End, Flow
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind, dotted

_MAX_STEPS = 5_000
_MAX_NESTING = 4
_HARMLESS_DECORATORS = (
    "pytest.", "absl.testing.", "typing.", "flax.linen.", "chex.", "jax.", "functools.", "abc.", "torch.",
)  # fmt: skip
#: Methods whose results come from no call that names them.
_CALLED_BY_PYTHON = frozenset(
    {"__aenter__", "__call__", "__enter__", "__get__", "__getattr__", "__getitem__", "__iter__", "__next__"}
)
_BUILTIN_DECORATORS = frozenset({"staticmethod", "classmethod", "property"})
_DISPLAYS = (
    ast.Tuple, ast.List, ast.Set, ast.Dict, ast.DictComp, ast.ListComp, ast.SetComp, ast.GeneratorExp,
)  # fmt: skip


class FlowFinder:
    """Follows values through a project. `holders` are classes that keep what they get (Linen modules)."""

    def __init__(self, index: ProjectIndex, holders: Collection[ast.ClassDef] = ()) -> None:
        self.index, self.project, self.holders = index, index.project, frozenset(holders)
        self.callees = Callees(self.index, Origins(self).of)
        self._functions: dict[FunctionNode, Flow] = {}

    def follow(self, module: Module, node: ast.expr, is_object: bool = True) -> Flow:
        """The flow of the value of an expression: an object, or else a class."""
        walk = _Walk(self, module, is_object)
        walk.found(module, node)
        return walk.run()

    def function(self, module: Module, function: FunctionNode) -> Flow:
        """The flow of a function: its calls, and where it is handed to."""
        if function not in self._functions:
            self._functions[function] = Flow()  # a function that returns itself adds nothing
            walk = _Walk(self, module)
            walk.is_function = True
            walk.function(module, function)
            self._functions[function] = walk.run()
        return self._functions[function]

    def constructions(self, module: Module, cls: ast.ClassDef) -> Flow:
        """The flow of a class of the project: the calls that construct it, and where else it goes."""
        walk = _Walk(self, module, is_object=False)
        walk.name(module, module.scope_at(cls), cls.name, (), cls)
        return walk.run()


class _Walk(Passing):
    """One value on its way: what the code around it does with it, and what becomes of functions that give it."""

    def __init__(self, finder: FlowFinder, start: Module, is_object: bool = True) -> None:
        super().__init__(finder.index, start, finder.callees, finder.holders)
        self.is_object, self.finder = is_object, finder

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
            if isinstance(node, ast.Call) and not within:
                self.flow.calls.append((module, node))
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
            return _is_annotation(parent, node) or isinstance(
                parent,
                ast.Expr | ast.Compare | ast.FormattedValue | ast.IfExp | ast.If | ast.Assert | ast.Delete,
            )
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
        value = place.body if isinstance(place, ast.Lambda) else place.value
        name = "" if isinstance(function, ast.Lambda) else function.name
        if name in _CALLED_BY_PYTHON and value is not None and module.scope_at(function).is_class:
            self.escape(module, value, f"`{name}` of a class gives it")
            return
        flow = self.finder.function(module, function)
        self.reads(flow.results, within)
        for use in flow.escapes[:1]:
            self.escape(use.module, use.node, f"it is returned by a function, which escapes: {use.why}")
        for use in flow.uses:
            if use.holder is not None:  # it makes the value by calling this
                self.held(use.module, use.node, use.holder)

    def function(self, module: Module, function: FunctionNode) -> None:
        """Follow a function: every expression that names it."""
        if isinstance(function, ast.Lambda):
            self.found(module, function)
            return
        for decorator in function.decorator_list:
            self.decorated(module, function, decorator)
        scope = module.scope_at(function)
        if scope.is_class:
            owner = _class_around(module, function)
            self.reads(self.attribute_reads(function.name, owner), ())
            self.reads(self.looked_up(function.name, owner), ())
        else:
            self.name(module, scope, function.name, (), function)

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
        reads = self.attribute_reads(function.name, _class_around(module, function))
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


def _is_annotation(parent: ast.AST, node: ast.expr) -> bool:
    """Whether a use only says what kind of value something has: `backbone: ViT`, also where `ViT` is a function."""
    if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
        return parent.returns is node
    return isinstance(parent, ast.AnnAssign | ast.arg) and parent.annotation is node


def _class_around(module: Module, function: ast.AST) -> ast.ClassDef | None:
    """The class whose body a function stands in."""
    owner = module.parents.get(function)
    return owner if isinstance(owner, ast.ClassDef) else None


def _is_property(function: ast.FunctionDef) -> bool:
    return any(
        (dotted(d) or "").rpartition(".")[2] in ("property", "cached_property")
        for d in function.decorator_list
    )
