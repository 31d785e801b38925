"""Fields that hold layer factories: `conv: ModuleDef`, called as `self.conv(features, (3, 3))(x)`.

Such a field can be converted where everything that the project ever gives it is known: the same Linen layer
each time, bare or as a `functools.partial`, one of several layers that a condition chooses, or classes of the
project (`block_cls=ResNetBlock`). The class's own code is then analysed as if it named that layer, with
placeholders for what a partial binds. Places that give
it a layer that NNX lacks don't count: they can't move, whatever becomes of the class.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import replace

from nnx_migrate.linen.chosen.classes import alternatives, returned_values, table, values_seen
from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.factories.candidates import candidates, is_optional, qualified_name
from nnx_migrate.linen.factories.compared import compared_fields
from nnx_migrate.linen.factories.of_classes import ClassFactories
from nnx_migrate.linen.factories.of_layers import of_layers, usual
from nnx_migrate.linen.factories.uses import FactoryUses, Use, given_arguments
from nnx_migrate.linen.factories.values import Called, Factory, Given
from nnx_migrate.linen.programs.constructions.references import References
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.assigned import is_assigned_elsewhere
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_none, is_self
from nnx_migrate.nnx.layers import LAYERS


class Factories:
    """Finds the factory fields of a program's classes. `references` is only called where they are needed."""

    def __init__(self, program: LinenProgram, references: Callable[[], References]) -> None:
        self.program = program
        self.uses = FactoryUses(program, references, self.field)
        self._fields: dict[LinenClass, list[str]] = {}
        self._known: dict[tuple[LinenClass, str], Factory | None] = {}

    def of(self, cls: LinenClass) -> dict[str, Factory]:
        """The factory fields of a class that can be converted, by name."""
        if cls not in self._fields:
            self._fields[cls] = candidates(self.program, cls)
        found = {name: self.field(cls, name) for name in self._fields[cls]}
        return {name: factory for name, factory in found.items() if factory is not None}

    def field(self, cls: LinenClass, name: str) -> Factory | None:
        """What a field is given, if it is a factory field that can be converted."""
        if cls not in self._fields:
            self._fields[cls] = candidates(self.program, cls)
        if name not in self._fields[cls]:
            return None
        if (cls, name) not in self._known:
            self._known[cls, name] = None  # what a class hands to itself isn't followed
            self._known[cls, name] = self._factory(cls, name)
        return self._known[cls, name]

    def classes_made_by(self, cls: LinenClass) -> set[LinenClass]:
        """The classes that a class's factory fields are given."""
        return {made for factory in self.of(cls).values() for made in factory.classes}

    def given(
        self, cls: LinenClass, field: str, module: Module, call: ast.Call, partials: Iterable[ast.Call] = ()
    ) -> Given | None:
        """What a construction in the body of a module gives a field; None where that isn't known.

        `partials` of the class, of keywords alone, are what is called: `block = partial(Block, norm=norm)`.
        """
        for made, skip in ((call, 0), *((partial, 1) for partial in partials)):
            arguments = given_arguments(cls, made, skip, module)
            if arguments is None:
                return None
            if field in arguments:
                return self._follow(module, made, arguments[field])
        return None

    def by_default(self, cls: LinenClass, field: str) -> Given | None:
        """What a field is given by its default; None where that isn't known, or there is none."""
        item = cls.field(field)
        if item is None or item.default is None:
            return None
        return self._follow(item.owner.module, None, item.default)

    # ---- what they are given -----------------------------------------------------------------------------

    def _factory(self, cls: LinenClass, name: str) -> Factory | None:
        uses: list[Use] = []
        for relative in self._family(cls, name):
            more = self.uses.of(relative, name)
            if more is None:
                return None
            uses += more
        found: list[Given] = []
        default, field = not uses, cls.field(name)
        optional = field is not None and is_optional(field)
        if not uses:
            by_default = self._given_by(cls, name, Use(cls.module, ast.Call(ast.Name(cls.name), [], []), {}))
            if by_default is None:
                return self._of_siblings(cls, name)
            found.append(by_default)
        for use in uses:
            node = use.arguments.get(name)
            if optional and (node is None or is_none(node)):
                default = True
                continue
            given = self._given_by(cls, name, use)
            if given is None:
                return None
            default = default or use.arguments.get(name) is None
            found.append(given)
        if not found:
            return None  # nothing in all models
        if field is None or field.default is None or optional:
            found = usual(found)
        else:
            by_default = self._follow(field.owner.module, None, field.default)
            found = usual(found, by_default)
            if by_default is None:
                return None
            if not _is_among(by_default, found):
                if not any(given.classes for given in (by_default, *found)):
                    return None  # the constructor could not keep the default
                found = [*found, by_default]
        both = any(given.layers for given in found)
        of_classes = ClassFactories(self.program, self.field)
        made = of_layers(name, found, of_classes) if both else of_classes.of(name, found)
        plain = made is not None and made.classes and not (made.bound or made.several)
        if made is None or (name in compared_fields(self.program, cls) and not plain):
            return None  # what makes a layer is no attribute
        return replace(made, default=default)

    def _of_siblings(self, cls: LinenClass, name: str) -> Factory | None:
        """What a class would get that nothing constructs: what those of its file get in a field that is declared alike.

        Copies of a network often have blocks that only its larger variants need.
        """
        item = cls.field(name)
        if item is None or item.default is not None or not self.uses.is_unused(cls):
            return None
        found: list[Factory] = []
        for other in self.program:
            alike = other.field(name) if other.module is cls.module and other is not cls else None
            if alike is None or alike.default is not None or self.uses.is_unused(other):
                continue
            factory = self.field(other, name)
            if factory is None or ast.dump(alike.annotation) != ast.dump(item.annotation):
                return None
            found.append(factory)
        kinds = {(one.layer, one.derived, one.bound, one.flag, one.classes, one.several) for one in found}
        return found[0] if len(kinds) == 1 else None

    def _family(self, cls: LinenClass, name: str) -> list[LinenClass]:
        """A class with its bases and subclasses that have the field, too: they share methods that read it."""
        related = (c for c in self.program if cls in c.mro or c in cls.mro)
        return [c for c in related if c.field(name) is not None]

    def _given_by(self, cls: LinenClass, name: str, use: Use) -> Given | None:
        node = use.arguments.get(name)
        if node is not None:
            return self._follow(use.module, use.call, node)
        return self.by_default(cls, name)

    def _follow(self, module: Module, call: ast.Call | None, node: ast.expr) -> Given | None:
        """What an expression makes when it is called: a layer, a class, a partial or a local variable."""
        if isinstance(node, ast.Name) and call is not None:
            outside = self.uses.class_around(module, call) is None
            values = values_seen(module, node) if outside and hasattr(node, "lineno") else []
            value = values[0] if len(values) == 1 else _assigned(module, call, node.id, in_branches=outside)
            if value is not None:
                values = values or alternatives(module, call, node.id)
                if any(_reads(value, node.id) for value in values):
                    return None  # conv = partial(conv, use_bias=False)
                chosen = self._chosen(module, call, node, values)
                if chosen is None and len(values) > 1:
                    chosen = self._one_of_layers(module, call, node, values)
                    chosen = chosen or self._one_of_partials(module, call, node, values)
                if chosen is not None:
                    return replace(chosen, variable=bool(chosen.several))
                inner = self._follow(module, call, value) if not isinstance(value, ast.Name) else None
                if inner is not None and inner.several:
                    return replace(inner, node=node, variable=True)
                if inner is not None and outside and _is_partial_of_class(inner):
                    return replace(inner, node=node, variable=inner.partial is value)
                if inner is None or (
                    inner.partial is not value and not (inner.layer and inner.source is None)
                ):
                    return None  # classes are not worth a variable of the constructor
                return replace(inner, node=node, variable=True)
        if isinstance(node, ast.Call):
            if not self._is_partial(module, node):
                return self._returned(module, node)
            inner = self._follow(module, call, node.args[0])
            if inner is None or inner.partial is not None or inner.variable or inner.several:
                return None
            if inner.classes and inner.source is not None:
                return None
            return replace(inner, node=node, partial=node, module=module)
        if isinstance(node, ast.IfExp):
            values = [node.body, node.orelse]
            found = self._chosen(module, call, node, values) or self._one_of_layers(
                module, call, node, values
            )
            return found or self._one_of_partials(module, call, node, values)
        if isinstance(node, ast.Subscript):
            home, values = table(self.program.project, module, node.value)
            return self._chosen(home, None, node, values)
        if isinstance(node, ast.Attribute) and is_self(node.value):
            owner = self.uses.class_around(module, node)
            factory = self.field(owner, node.attr) if owner is not None else None
            return self._handed_on(node, factory) if factory is not None else None
        constant = self._constant(module, node)
        if constant is not None:
            return constant
        name = qualified_name(self.program, module, node)
        cls = self.program.find(name)
        if cls is not None and cls.override is not None:
            return Given(node, layer=cls.override.layer, derived=cls)
        if cls is not None:
            return Given(node, classes=(cls,))
        short = linen_name(name)
        return Given(node, layer=short) if short is not None and f"flax.linen.{short}" in LAYERS else None

    def _handed_on(self, node: ast.expr, factory: Factory) -> Given:
        """What a field gets that a class hands on from a field of its own."""
        several = tuple(Given(node, one.layer, source=one, derived=one.derived) for one in factory.several)
        own = (factory.layer, factory.classes)
        return Given(node, *own, source=factory, derived=factory.derived, several=several)

    def _chosen(
        self, module: Module, call: ast.Call | None, node: ast.expr, values: list[ast.expr]
    ) -> Given | None:
        """One of several classes of the project, which a condition or a table chooses; None for anything else."""
        classes: dict[LinenClass, None] = {}
        for value in values:
            if isinstance(value, ast.Name) and call is not None and alternatives(module, call, value.id):
                return None
            given = self._follow(module, call, value)
            if given is None or not given.classes or given.partial or given.source or given.variable:
                return None
            if given.several:
                return None  # partials
            classes |= dict.fromkeys(given.classes)
        return Given(node, classes=tuple(classes)) if classes else None

    def _one_of_layers(
        self, module: Module, call: ast.Call | None, node: ast.expr, values: list[ast.expr]
    ) -> Given | None:
        """One of several layers, or of partials of layers, each of another kind; None for anything else.

        Classes of the project may be among them.
        """
        found: dict[tuple[str, LinenClass | None], Given] = {}
        classes: dict[LinenClass, None] = {}
        for value in values:
            if isinstance(value, ast.Name) and call is not None and alternatives(module, call, value.id):
                return None
            given = self._follow(module, call, value)
            if given is None or given.source or given.variable:
                return None
            if given.classes and not (given.partial or given.several):
                classes |= dict.fromkeys(given.classes)
                continue
            if not given.layer or given.kind in found:
                return None
            found[given.kind] = replace(given, module=module)
        if not found or len(found) + len(classes) < 2:
            return None
        return Given(node, classes=tuple(classes), several=tuple(found.values()), module=module)

    def _one_of_partials(
        self, module: Module, call: ast.Call | None, node: ast.expr, values: list[ast.expr]
    ) -> Given | None:
        """One of several partials of classes of the project; None for anything else."""
        found: list[Given] = []
        for value in values:
            given = self._follow(module, call, value) if not isinstance(value, ast.Name) else None
            if given is None or not given.classes or given.partial is not value or given.several:
                return None
            found.append(given)
        classes = dict.fromkeys(cls for given in found for cls in given.classes)
        return Given(node, classes=tuple(classes), several=tuple(found), module=module)

    def _returned(self, module: Module, call: ast.Call) -> Given | None:
        """What a function of the project returns, if that is a partial of a class, or one of several layers."""
        definition = self.program.project.definition(qualified_name(self.program, module, call.func) or "")
        if definition is None or not isinstance(definition.node, ast.FunctionDef):
            return None
        layers = self._one_of_layers(definition.module, None, call, returned_values(definition))
        if layers is not None:
            called = Called(module, call, definition.node)
            return replace(layers, several=tuple(replace(one, called=called) for one in layers.several))
        *others, last = definition.node.body
        if definition.node.decorator_list or not isinstance(last, ast.Return) or last.value is None:
            return None
        if any(isinstance(n, ast.Return | ast.Yield) for statement in others for n in ast.walk(statement)):
            return None
        inner = self._follow(definition.module, None, last.value)
        return replace(inner, node=call) if inner is not None and inner.classes and inner.partial else None

    def _constant(self, module: Module, node: ast.expr) -> Given | None:
        """What a variable of a file, or of a function around, holds for good, if that is a partial of a class:
        `cell = make_cell(8)`.
        """
        if not isinstance(node, ast.Name | ast.Attribute) or not hasattr(node, "lineno"):
            return None
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value  # type: ignore[assignment]
        scope = module.scope_at(node).binder(root.id) if isinstance(root, ast.Name) else None
        if scope is None or scope.is_class:
            return None
        if not scope.is_module and (
            self.uses.class_around(module, node) is not None
            or any(root.id in n.names for n in module.nodes(ast.Nonlocal))
        ):
            return None
        project, home = self.program.project, module
        bindings = scope.bindings.get(node.id, []) if isinstance(node, ast.Name) else []
        name = project.resolve(node, scope, module)
        found = project.definition(name) if name is not None else None
        if found is not None:
            home, bindings = found.module, [found.binding]
        if len(bindings) != 1 or not isinstance(bindings[0].value, ast.Call):
            return None
        if scope.is_module and is_assigned_elsewhere(bindings[0].name, project):
            return None
        inner = self._follow(home, None, bindings[0].value)
        return replace(inner, node=node) if inner is not None and _is_partial_of_class(inner) else None

    def _is_partial(self, module: Module, call: ast.Call) -> bool:
        """Whether a call is `functools.partial(layer, name=value, ...)`."""
        names = [k.arg for k in call.keywords]
        plain = len(call.args) == 1 and None not in names and not {"name", "parent"} & set(names)
        return plain and qualified_name(self.program, module, call.func) == "functools.partial"


def _is_partial_of_class(given: Given) -> bool:
    """Whether something is a partial of one class, which this code or a function of the project makes."""
    return bool(given.classes) and given.partial is not None and not given.several and given.source is None


def _is_among(default: Given, found: Iterable[Given]) -> bool:
    """Whether a field gets the layer, or a class like that, which it has by default."""
    if default.classes:
        return any(default.classes == given.classes or not given.layers for given in found if given.classes)
    return any(one.kind == default.kind for given in found for one in given.layers)


def _assigned(module: Module, call: ast.Call, name: str, in_branches: bool) -> ast.expr | None:
    """What a variable holds that is assigned once, in the body of the function (or module), before the call.

    `in_branches`: wherever that is; it then holds nothing else, but may not exist.
    """
    function = module.enclosing(call, ast.FunctionDef, ast.Lambda) or module.tree
    if not isinstance(function, ast.FunctionDef | ast.Module):
        return None
    bound = [n for n in ast.walk(function) if isinstance(n, ast.Name | ast.arg) and _binds(n, name)]
    for statement in ast.walk(function) if in_branches else function.body:
        if (
            isinstance(statement, ast.Assign)
            and bound == statement.targets
            and statement.lineno < call.lineno
        ):
            return statement.value
    return ast.Name(name) if bound else None


def _reads(value: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(value))


def _binds(node: ast.Name | ast.arg, name: str) -> bool:
    if isinstance(node, ast.arg):
        return node.arg == name
    return node.id == name and not isinstance(node.ctx, ast.Load)
