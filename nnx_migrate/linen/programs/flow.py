"""Where a value goes: from the expression that makes it through names, arguments and fields to its uses.

The flow is followed forwards and generously: where a name or a field could hold the value, it counts as
holding it. A use that isn't understood is an escape, never silence.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from nnx_migrate.linen.programs.callees import PARTIAL, Callees, FunctionNode, parameter_of
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Scope

_MAX_STEPS = 5_000
# Calls that take a value and keep nothing of it.
_HARMLESS = frozenset(
    {
        "print",
        "repr",
        "str",
        "id",
        "type",
        "hash",
        "len",
        "getattr",
        "hasattr",
        "pprint.pprint",
        "bool",
        "dir",
    }
)
# Libraries whose functions take arrays, numbers and text, never a module: what goes there is something else.
_NEVER_MODULES = (
    "jax.numpy.", "numpy.", "jax.lax.", "jax.nn.", "jax.random.", "jax.tree", "optax.", "tensorflow.",
    "torch.", "os.", "logging.", "absl.logging.", "math.", "time.", "json.", "wandb.", "tqdm.", "matplotlib.",
)  # fmt: skip


class End(Enum):
    """What finally happens to a value."""

    ATTRIBUTE = auto()  # value.attr: `node` is the ast.Attribute
    CALL = auto()  # value(...): `node` is the ast.Call
    APPLIED = auto()  # nn.apply(function, value): `node` is that call
    HELD = auto()  # Wrapper(value): `node` is the call that makes a module which holds it
    ESCAPE = auto()  # it goes where nothing can be seen: `node` is the occurrence


@dataclass(frozen=True, eq=False)
class Use:
    """One end of the flow; `why` says how an escape happens."""

    module: Module
    node: ast.expr
    end: End
    why: str = ""
    sure: bool = True  # False where the value came through a field that was only known by its name


@dataclass
class Flow:
    """All uses of a value."""

    uses: list[Use] = field(default_factory=list)

    @property
    def escapes(self) -> list[Use]:
        """Where it gets out of sight."""
        return [use for use in self.uses if use.end is End.ESCAPE]

    def attributes(self, *names: str) -> list[tuple[Module, ast.Attribute]]:
        """Reads of attributes of the value; all, or those named."""
        found = [
            (u.module, u.node)
            for u in self.uses
            if u.end is End.ATTRIBUTE and isinstance(u.node, ast.Attribute)
        ]
        return [(module, node) for module, node in found if not names or node.attr in names]


class FlowFinder:
    """Follows values through a project. `holders` are classes that keep what they get (Linen modules)."""

    def __init__(self, project: Project, holders: Collection[ast.ClassDef] = ()) -> None:
        self.project, self.holders = project, frozenset(holders)
        self.index = ProjectIndex(project)
        self.callees = Callees(self.index)

    def follow(self, module: Module, node: ast.expr) -> Flow:
        """The flow of the value of an expression."""
        return _Walk(self).run(module, node)


class _Walk:
    def __init__(self, finder: FlowFinder) -> None:
        self.finder, self.project, self.callees = finder, finder.project, finder.callees
        self.flow = Flow()
        self.seen: set[object] = set()
        self.pending: list[tuple[Module, ast.expr]] = []
        self.by_name: list[tuple[Module, ast.expr]] = []  # reads of fields, followed last
        self.sure = True

    def run(self, module: Module, node: ast.expr) -> Flow:
        self.pending.append((module, node))
        steps = 0
        while self.pending or self.by_name:
            steps += 1
            self.sure = self.sure and bool(self.pending)
            module, node = self.pending.pop() if self.pending else self.by_name.pop()
            if steps > _MAX_STEPS:
                self.escape(module, node, "its flow is too long to be followed")
                break
            if node not in self.seen:
                self.seen.add(node)
                self.occurrence(module, node)
        return self.flow

    def escape(self, module: Module, node: ast.expr, why: str) -> None:
        self.flow.uses.append(Use(module, node, End.ESCAPE, why, self.sure))

    def occurrence(self, module: Module, node: ast.expr) -> None:
        """The value is that of `node`: what does the code around do with it?"""
        parent = module.parents[node]
        if isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr) and parent.value is node:
            for target in parent.targets if isinstance(parent, ast.Assign) else [parent.target]:
                self.target(module, target)
            if isinstance(parent, ast.NamedExpr):
                self.pending.append((module, parent))
        elif isinstance(parent, ast.Attribute):
            self.flow.uses.append(Use(module, parent, End.ATTRIBUTE, sure=self.sure))
        elif isinstance(parent, ast.Call) and parent.func is node:
            self.flow.uses.append(Use(module, parent, End.CALL, sure=self.sure))
        elif isinstance(parent, ast.Call):
            self.argument(module, parent, node)
        elif isinstance(parent, ast.keyword):
            call = module.parents[parent]
            if isinstance(call, ast.Call) and parent.arg is not None:
                self.argument(module, call, parent)
            else:
                self.escape(module, node, "it is passed on by `**`")
        elif isinstance(parent, ast.Return):
            self.returned(module, parent)
        elif isinstance(parent, ast.Lambda):
            self.called(module, parent)
        elif (isinstance(parent, ast.IfExp) and parent.test is not node) or isinstance(parent, ast.BoolOp):
            self.pending.append((module, parent))
        elif isinstance(parent, ast.Tuple | ast.List | ast.Dict | ast.Set):
            self.contained(module, parent, node)
        elif isinstance(
            parent, ast.Expr | ast.Compare | ast.FormattedValue | ast.IfExp | ast.If | ast.Assert
        ):
            return  # only looked at
        elif isinstance(parent, ast.Global | ast.Nonlocal | ast.Delete):
            return
        elif isinstance(parent, ast.arguments):
            self.default(module, parent, node)
        else:
            self.escape(module, node, f"it is used in a way that can't be followed ({type(parent).__name__})")

    # ---- names and fields -------------------------------------------------------------------------------

    def target(self, module: Module, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            scope = module.scope_at(target)
            self.name(module, scope.binder(target.id) or scope, target.id)
        elif isinstance(target, ast.Attribute):
            self.attribute_named(target.attr)
        elif isinstance(target, ast.Subscript):
            self.container(module, target.value)
        else:
            return  # modules can't be unpacked: this is another value of the same function

    def name(self, module: Module, scope: Scope, name: str) -> None:
        """The value is bound to a name."""
        if (scope, name) in self.seen:
            return
        self.seen.add((scope, name))
        self.pending += self.finder.index.name_reads(module, scope, name)
        if scope.is_module:
            self.imported(module, name)
        elif scope.is_class:
            self.attribute_named(name)

    def imported(self, module: Module, name: str) -> None:
        """Other files that import a module-level name, or read it through its module."""
        for other, scope, local in self.finder.index.imports_of(module, name):
            self.name(other, scope, local)
        self.pending += self.finder.index.dotted_reads(module, name)

    def attribute_named(self, name: str) -> None:
        """The value is stored in an attribute: every read of an attribute of that name may give it."""
        if ("attribute", name) not in self.seen:
            self.seen.add(("attribute", name))
            self.by_name += self.finder.index.attribute_reads(name)

    # ---- calls ------------------------------------------------------------------------------------------

    def argument(self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword) -> None:
        node = passed.value if isinstance(passed, ast.keyword) else passed
        callees = self.callees.of(module, call.func)
        if (
            any(callee.qualified in PARTIAL for callee in callees)
            and call.args
            and passed is not call.args[0]
        ):
            callees = self.callees.of(module, call.args[0])  # what the partial will call
        for callee in callees:
            if callee.klass is not None and callee.klass in self.finder.holders:
                self.flow.uses.append(Use(module, call, End.HELD, sure=self.sure))
            elif callee.qualified == "flax.linen.apply" and call.args[1:] == [passed]:
                self.flow.uses.append(Use(module, call, End.APPLIED, sure=self.sure))
            elif callee.function is not None:
                parameter = parameter_of(callee, call, passed)
                if parameter is None:
                    self.escape(module, node, f"it is passed to `{ast.unparse(call.func)}` by unpacking")
                    continue
                self.parameter(callee.module, callee.function, parameter)
            elif callee.fields is not None:
                name = passed.arg if isinstance(passed, ast.keyword) else callee.field_at(call, node)
                if name:
                    self.attribute_named(name)
            elif callee.passes_on:
                self.pending.append((module, call))
            elif callee.qualified in _HARMLESS or (callee.qualified or "").startswith(_NEVER_MODULES):
                continue
            elif callee.stores_keywords and isinstance(passed, ast.keyword) and passed.arg:
                self.attribute_named(passed.arg)
            else:
                self.escape(module, node, f"it is passed to `{ast.unparse(call.func)}`")

    def parameter(self, module: Module, function: FunctionNode, name: str) -> None:
        self.name(module, module.scopes.of_node[function], name)

    def default(self, module: Module, arguments: ast.arguments, node: ast.expr) -> None:
        """The value is a parameter's default."""
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(
            zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
        )
        pairs += [
            (a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None
        ]
        function = module.parents[arguments]
        for arg, default in pairs:
            if default is node and isinstance(function, FunctionNode):
                self.parameter(module, function, arg.arg)

    def returned(self, module: Module, statement: ast.Return) -> None:
        function = module.enclosing(statement, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(function, FunctionNode):
            self.called(module, function)

    def called(self, module: Module, function: FunctionNode) -> None:
        """The value is what a function returns: follow it at the function's calls."""
        if ("result", function) in self.seen:
            return
        self.seen.add(("result", function))
        calls, known = self.callees.calls_of(module, function)
        self.pending += calls
        if not known:
            self.escape(
                module, _occurrence_in(function), "it is returned by a function whose calls can't be seen"
            )

    # ---- containers -------------------------------------------------------------------------------------

    def contained(self, module: Module, container: ast.expr, node: ast.expr) -> None:
        """The value is an element of a display: unpacking is followed exactly, else every read counts."""
        parent = module.parents[container]
        if isinstance(container, ast.Tuple | ast.List):
            index = container.elts.index(node)
            if isinstance(parent, ast.Assign) and parent.value is container:
                for target in parent.targets:
                    if isinstance(target, ast.Tuple | ast.List) and len(target.elts) == len(container.elts):
                        self.target(module, target.elts[index])
                    else:
                        self.container(module, target)
                return
            if isinstance(parent, ast.Return):
                function = module.enclosing(parent, ast.FunctionDef, ast.AsyncFunctionDef)
                if isinstance(function, FunctionNode):
                    self.unpacked(module, function, index, len(container.elts))
                return
        elif isinstance(container, ast.Dict) and isinstance(parent, ast.Assign):
            for target in parent.targets:
                self.container(module, target)
            return
        call = module.parents[parent] if isinstance(parent, ast.keyword) else parent
        if isinstance(call, ast.Call) and any(
            c.klass is not None and c.klass in self.finder.holders for c in self.callees.of(module, call.func)
        ):
            self.flow.uses.append(Use(module, call, End.HELD, sure=self.sure))
            return
        if (
            isinstance(call, ast.Call)
            and isinstance(parent, ast.keyword)
            and self._parametrised(module, call, parent)
        ):
            return
        self.escape(module, node, "it is stored in a container")

    def _parametrised(self, module: Module, call: ast.Call, keyword: ast.keyword) -> bool:
        """`@parameterized.product(model=(A, B))`: the function's parameter of that name gets the values."""
        function = module.parents[call]
        if not (isinstance(function, ast.FunctionDef) and call in function.decorator_list and keyword.arg):
            return False
        args = function.args
        if keyword.arg not in [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]:
            return False
        self.parameter(module, function, keyword.arg)
        return True

    def unpacked(self, module: Module, function: FunctionNode, index: int, count: int) -> None:
        calls, known = self.callees.calls_of(module, function)
        for other, call in calls:
            parent = other.parents[call]
            if isinstance(parent, ast.Assign) and parent.value is call:
                for target in parent.targets:
                    if isinstance(target, ast.Tuple | ast.List) and len(target.elts) == count:
                        self.target(other, target.elts[index])
                    else:
                        self.container(other, target)
            else:
                self.container(other, call)
        if not known:
            self.escape(
                module, _occurrence_in(function), "it is returned by a function whose calls can't be seen"
            )

    def container(self, module: Module, holder: ast.expr) -> None:
        """Elements of the container that `holder` names: `holder[...]` in its scope gives the value."""
        if not isinstance(holder, ast.Name):
            self.escape(module, holder, "it is stored in a container")
            return
        scope = module.scope_at(holder)
        binder = scope.binder(holder.id) or scope
        for reference in module.scopes.names.get(holder.id, ()):
            if reference.scope.binder(holder.id) is not binder or not isinstance(reference.node, ast.expr):
                continue
            parent = module.parents[reference.node]
            if isinstance(parent, ast.Subscript) and parent.value is reference.node:
                if isinstance(parent.ctx, ast.Load):
                    self.pending.append((module, parent))
            elif isinstance(parent, ast.For | ast.comprehension) and parent.iter is reference.node:
                self.target(module, parent.target)
            elif not isinstance(parent, ast.Compare):
                self.escape(module, reference.node, "it is stored in a container")


def _occurrence_in(function: FunctionNode) -> ast.expr:
    """Some expression of a function, to say where."""
    if isinstance(function, ast.Lambda):
        return function
    return next(n for n in ast.walk(function) if isinstance(n, ast.expr))
