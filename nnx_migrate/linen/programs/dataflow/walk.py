"""The state of a walk after a value: what has been seen, and the names, fields and containers that hold it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TypeVar

from nnx_migrate.linen.programs.dataflow.callees import FunctionNode
from nnx_migrate.linen.programs.dataflow.containers import ANY, Within
from nnx_migrate.linen.programs.dataflow.foreign_types import is_foreign
from nnx_migrate.linen.programs.dataflow.receivers import Owner
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.uses import End, Flow, Use
from nnx_migrate.names.modules import Module
from nnx_migrate.names.parameters import defaults
from nnx_migrate.names.scopes import BindingKind, Scope

_Read = TypeVar("_Read", bound=ast.expr)


class Walk:
    """One value on its way from the file `start`.

    `within` says where it sits in what an expression gives: () is the value itself.
    """

    def __init__(self, index: ProjectIndex, start: Module) -> None:
        self.index, self.start = index, start
        self.flow = Flow()
        self.seen: set[object] = set()
        self.pending: list[tuple[Module, ast.expr, Within]] = []
        self.by_name: list[tuple[Module, ast.expr, Within]] = []  # reads of fields, followed last
        self.sure = True

    def escape(self, module: Module, node: ast.expr, why: str) -> None:
        """The value gets out of sight."""
        self.end(module, node, End.ESCAPE, why)

    def end(
        self, module: Module, node: ast.expr, end: End, why: str = "", holder: ast.ClassDef | None = None
    ) -> None:
        """A use that says what the value is for, told once however many ways lead to it."""
        key = (end, node, why, self.sure, holder)
        if key not in self.seen:
            self.seen.add(key)
            self.flow.uses.append(Use(module, node, end, why, self.sure, holder))

    def found(self, module: Module, node: ast.expr, within: Within = ()) -> None:
        """The value is what `node` gives, or a part of it."""
        self.pending.append((module, node, within))

    def target(self, module: Module, target: ast.expr, within: Within) -> None:
        """The value is assigned."""
        if isinstance(target, ast.Name):
            scope = module.scope_at(target)
            self.name(module, scope.binder(target.id) or scope, target.id, within, target)
        elif isinstance(target, ast.Attribute):
            self.attribute_named(target.attr, within, self.index.receivers.of(module, target.value))
        elif isinstance(target, ast.Subscript):
            key = target.slice.value if isinstance(target.slice, ast.Constant) else ANY
            self.stored(module, target.value, (key if isinstance(key, int | str) else ANY, *within))
        elif isinstance(target, ast.Tuple | ast.List):
            for index, part in enumerate(target.elts):
                if isinstance(part, ast.Starred):
                    self.target(module, part.value, (ANY, *within[1:]))
                elif within[:1] in ((ANY,), (index,)):
                    self.target(module, part, within[1:])
        else:
            self.escape(module, target, "it is assigned in a way that can't be followed")

    def stored(self, module: Module, holder: ast.expr, within: Within) -> None:
        """The value is put into the container that `holder` names. Others may know it by other names."""
        if isinstance(holder, ast.Subscript):
            key = holder.slice.value if isinstance(holder.slice, ast.Constant) else ANY
            self.stored(module, holder.value, (key if isinstance(key, int | str) else ANY, *within))
        elif isinstance(holder, ast.Attribute) and self.values_made_here(
            holder.attr, self.index.receivers.of(module, holder.value)
        ):
            self.attribute_named(holder.attr, within, self.index.receivers.of(module, holder.value))
        elif isinstance(holder, ast.Name) and self.is_made_here(module, holder):
            self.target(module, holder, within)
        else:
            self.escape(module, holder, "it is stored in a container")

    def values_made_here(self, attribute: str, owner: Owner) -> bool:
        """Whether an attribute only holds containers that are made where it is assigned."""
        values = self.index.attribute_values(attribute, owner)
        return bool(values) and all(_is_new(value) for _, value in values)

    @staticmethod
    def is_made_here(module: Module, holder: ast.Name) -> bool:
        """Whether a name is only bound to containers that are made in these places."""
        bindings = module.scope_at(holder).lookup(holder.id)
        return bool(bindings) and all(
            isinstance(module.parents.get(b.node), ast.AugAssign)
            or isinstance(b.node, ast.AugAssign)
            or (b.kind is BindingKind.ASSIGNMENT and b.value is not None and _is_new(b.value))
            for b in bindings
        )

    def name(
        self, module: Module, scope: Scope, name: str, within: Within, at: ast.AST | None = None
    ) -> None:
        """The value is bound to a name, by `at` if that is known."""
        if (scope, name, within, at) in self.seen:
            return
        self.seen.add((scope, name, within, at))
        self.reads(self.index.reads_of_binding(module, scope, name, at), within)
        if scope.is_module:
            for other, where, local in self.index.imports_of(module, name):
                self.name(other, where, local, within)
            self.reads(self.index.dotted_reads(module, name), within)
        elif isinstance(scope.node, ast.ClassDef):
            self.attribute_named(name, within, scope.node)

    def reads(self, reads: Iterable[tuple[Module, ast.expr]], within: Within) -> None:
        """All these expressions give the value."""
        self.pending += [(module, node, within) for module, node in reads]

    def attribute_named(self, name: str, within: Within, owner: Owner = None) -> None:
        """The value is an attribute of an instance of `owner`: every read of that name may give it."""
        if ("attribute", name, owner, within) not in self.seen:
            self.seen.add(("attribute", name, owner, within))
            receivers = self.index.receivers
            is_only = owner is not None and self.index.attribute_stores(name, owner) == 1
            for module, node in self.attribute_reads(name, owner):
                is_own = is_only and receivers.of(module, node.value) is owner  # `self.net` of the same class
                (self.pending if is_own else self.by_name).append((module, node, within))
            self.by_name += [(m, call, within) for m, call in self.looked_up(name, owner)]

    def attribute_reads(self, name: str, owner: Owner) -> Iterator[tuple[Module, ast.Attribute]]:
        """Every `<anything>.name` that may give the value, as far as it may belong to an instance of `owner`."""
        return self._near(self.index.attribute_reads(name, owner))

    def looked_up(self, name: str, owner: Owner) -> Iterator[tuple[Module, ast.Call]]:
        """Every `getattr(<anything>, "name")` that may give the value, likewise."""
        return self._near(self.index.looked_up(name, owner))

    def _near(self, reads: Iterable[tuple[Module, _Read]]) -> Iterator[tuple[Module, _Read]]:
        return ((module, node) for module, node in reads if self.index.may_share(self.start, module))

    def parameter(
        self,
        module: Module,
        function: FunctionNode,
        name: str,
        within: Within,
        key: str | None = None,
    ) -> None:
        """A function gets the value as an argument, by the keyword `key` if that may be one of `**kwargs`."""
        args = function.args
        if args.kwarg is not None and args.kwarg.arg == name and (key is not None or not within):
            within = (key if key is not None else ANY, *within)
        if args.vararg is not None and args.vararg.arg == name:
            within = (ANY, *within)
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        at = next((arg for arg in every if arg is not None and arg.arg == name), None)
        if at is not None and is_foreign(self.index.project, module, at):
            return
        self.name(module, module.scopes.of_node[function], name, within, at)

    def default(self, module: Module, arguments: ast.arguments, node: ast.expr, within: Within) -> None:
        """The value is a parameter's default."""
        function = module.parents[arguments]
        for arg, default in defaults(arguments):
            if default is node and isinstance(function, FunctionNode):
                self.parameter(module, function, arg.arg, within)


def _is_new(value: ast.expr) -> bool:
    """Whether an expression makes a container that nothing else knows."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in (
            "dict", "list", "set", "defaultdict", "OrderedDict", "deque",
        )  # fmt: skip
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)
