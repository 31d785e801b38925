"""Functions outside of classes that conversions rewrite, and tables of layers: all who use one move together."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from nnx_migrate.linen.chosen.classes import named_table, reads_keys
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import ClassConversion, Conversions
from nnx_migrate.nnx.writer.written import Outside, name_of


@dataclass(eq=False)
class RewrittenFunction:
    """A function, or a table, with the conversions of the classes that use it."""

    node: Outside
    module: Module
    users: list[ClassConversion] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return name_of(self.node)

    @property
    def is_function(self) -> bool:
        """Whether it is no table."""
        return isinstance(self.node, ast.FunctionDef)

    @property
    def calls(self) -> set[ast.AST]:
        """The calls that are rewritten, too, or what looks something up."""
        return {call for user in self.users for call in user.functions[self.node].calls}

    @property
    def made(self) -> dict[ast.AST, tuple[LinenClass, ...]]:
        """What names the classes of the project that it constructs, which it gets as modules now."""
        inside = set(ast.walk(self.node))
        sites = [s for user in self.users if user.analysis is not None for s in user.analysis.sites]
        return {site.call.func: site.classes for site in sites if site.call in inside}


class RewrittenFunctions:
    """Those of a project."""

    def __init__(self, project: Project, conversions: Conversions) -> None:
        self.project = project
        found: dict[Outside, RewrittenFunction] = {}
        for conversion in conversions.converted.values():
            for node, written in conversion.functions.items():
                known = found.setdefault(node, RewrittenFunction(node, written.module))
                known.users.append(conversion)
        self.all = list(found.values())

    def together(self) -> Iterator[tuple[LinenClass, LinenClass]]:
        """Pairs of classes that call the same function, or that one makes for the other."""
        for function in self.all:
            first, *others = function.users
            yield from ((first.cls, other.cls) for other in others)
            yield from ((first.cls, cls) for classes in function.made.values() for cls in classes)

    def replaced(self) -> set[ast.AST]:
        """The names of classes in functions that don't construct them any more."""
        return {node for function in self.all for node in function.made}

    def obstacles(self) -> Iterator[tuple[LinenClass, Obstacle]]:
        """Classes whose functions serve others, too, who would call them as before."""
        for function in self.all:
            name, calls = function.name, function.calls
            place: tuple[Module, ast.AST] | None = None
            for module, node in self._references(function):
                if not _is_expected(module, node, calls, function.node):
                    place = module, node
                    break
            gets = "would get the layers that it creates" if function.is_function else "gets other layers"
            what = f"`{name}`, which {gets}, is used elsewhere"
            place = place or self._asked_by_name(function)
            if place is None and len({user.functions[function.node].edits for user in function.users}) > 1:
                place = function.module, function.node
                what = f"`{name}` would get other layers from other classes"
            if place is not None:
                for user in function.users:
                    yield user.cls, Obstacle("unsupported-syntax", what, *place)

    def _asked_by_name(self, function: RewrittenFunction) -> tuple[Module, ast.AST] | None:
        """Where something asks a function's file for a function whose name is computed: `getattr(layers, kind)`."""
        for module in self.project.mentioning("getattr"):
            for call in module.nodes(ast.Call):
                if not (isinstance(call.func, ast.Name) and call.func.id == "getattr" and call.args):
                    continue
                asked, name = call.args[0], call.args[1] if len(call.args) > 1 else None
                if isinstance(name, ast.Constant) and name.value != function.name:
                    continue
                if self.project.resolve(asked, module.scope_at(asked), module) == function.module.name:
                    return module, call
        return None

    def _references(self, function: RewrittenFunction) -> Iterator[tuple[Module, ast.expr]]:
        name = function.name
        for module in self.project.mentioning(name):
            known = {local for local, target in _imports(module) if target.rpartition(".")[2] == name}
            for local in {name, *known}:
                for reference in module.scopes.names.get(local, ()):
                    node = reference.node
                    if isinstance(node, ast.Name) and self._is_meant(function, node, module):
                        yield module, node
            for node in module.nodes(ast.Attribute):
                if node.attr == name and self._is_meant(function, node, module):
                    yield module, node

    def _is_meant(self, function: RewrittenFunction, node: ast.expr, module: Module) -> bool:
        if not function.is_function:
            home, display = named_table(self.project, module, node)
            return display is not None and home.parents[display] is function.node
        qualified = self.project.resolve(node, module.scope_at(node), module)
        definition = self.project.definition(qualified) if qualified is not None else None
        return definition is not None and definition.node is function.node


def _is_expected(module: Module, node: ast.expr, calls: Collection[ast.AST], definition: Outside) -> bool:
    """Whether a reference to a function or table is one that the classes have, or asks for keys alone."""
    user = module.parents.get(node)
    if isinstance(definition, ast.FunctionDef):
        return user in calls and isinstance(user, ast.Call) and user.func is node
    if isinstance(user, ast.Compare):
        return user.left is not node and all(isinstance(op, ast.In | ast.NotIn) for op in user.ops)
    if isinstance(user, ast.Attribute):
        return user.attr == "keys"
    return user is definition or user in calls or reads_keys(user, node)


def _imports(module: Module) -> Iterator[tuple[str, str]]:
    """The names that imports bind anywhere in a module, with what they mean."""
    for node in module.nodes(ast.ImportFrom):
        yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
