"""Linen classes of a project: their fields, methods and inheritance, as the code declares them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from nnx_migrate.linen.classes.class_finder import find_linen_classes
from nnx_migrate.linen.classes.derived_layers import CallOverride, ParamOverride, override
from nnx_migrate.linen.classes.layer_fields import CELL, has_own_code, kept_fields, layer_node, layers
from nnx_migrate.linen.fields.gated_units import GatedUnits
from nnx_migrate.linen.project_facts import ProjectFacts
from nnx_migrate.linen.symbols import LINEN, canonical, linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

if TYPE_CHECKING:
    from nnx_migrate.linen.classes.unbound_methods import UnboundMethods
    from nnx_migrate.linen.programs.constructions.references import References

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_ALL_MUTABLE = re.compile(r"\bmutable\s*=\s*(?:True\b|\[[^\]]*['\"]params['\"])")
_MODULE = f"{LINEN}.Module"
# Bases that bring neither fields nor submodules.
_HARMLESS_BASES = frozenset({"abc.ABC", "object", "typing.Generic", "Generic"})


@dataclass(frozen=True, eq=False)
class Field:
    """A dataclass field: `default` is its default expression (None: required), `owner` the class that
    declares it.
    """

    name: str
    node: ast.AnnAssign
    owner: LinenClass

    @property
    def default(self) -> ast.expr | None:
        """The default as written; for `dataclasses.field(default=...)` the whole call."""
        return self.node.value

    @property
    def annotation(self) -> ast.expr:
        """The annotation as written."""
        return self.node.annotation


@dataclass(frozen=True, eq=False)
class Method:
    """A function of a class body with the marks that matter to Linen."""

    name: str
    node: FunctionNode
    owner: LinenClass
    is_compact: bool
    is_nowrap: bool
    kind: str  # "method", "property", "static", "class"
    transforms: tuple[ast.expr, ...] = ()  # other decorators: lifted transforms, user decorators

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters without `self`."""
        args = self.node.args
        names = [a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
        return names[1:] if self.kind in ("method", "property") and names else names


@dataclass(eq=False)
class LinenClass:
    """A class that derives from `flax.linen.Module`, directly or through other project classes.

    `bases` are project classes, `layer_base` the built-in layer it derives from (`nn.Dense`), `other_bases`
    the
    qualified names of everything else. `problem` says why the inheritance can't be understood, if so.
    """

    qualified: str
    module: Module
    node: ast.ClassDef
    bases: list[LinenClass] = field(default_factory=list)
    layer_base: str | None = None
    mixins: list[LinenClass] = field(default_factory=list)
    problem: str = ""
    _resolved: dict[ast.expr, str | None] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        return f"LinenClass({self.qualified})"

    @property
    def name(self) -> str:
        """The class's own name."""
        return self.node.name

    @cached_property
    def scope_name(self) -> str:
        """The name after which Linen names its instances: `__name__`, which a file may set."""
        return next((name for name in self.set_names() if name), self.name)

    def set_names(self) -> Iterator[str | None]:
        """What the file assigns to `__name__` of the class; None where that is computed."""
        if ".__name__" in self.module.source.text:
            for node in self.module.nodes(ast.Attribute):
                holder = node.value.id if isinstance(node.value, ast.Name) else None
                if node.attr == "__name__" and isinstance(node.ctx, ast.Store) and holder == self.name:
                    value = getattr(self.module.parents[node], "value", None)
                    yield (
                        value.value
                        if isinstance(value, ast.Constant) and isinstance(value.value, str)
                        else None
                    )

    @cached_property
    def own_fields(self) -> list[Field]:
        """Dataclass fields that this class declares (annotated names that are no ClassVar), in order."""
        found: list[Field] = []
        for statement in self.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                annotation = ast.unparse(statement.annotation)
                if "ClassVar" in annotation:
                    continue
                if statement.target.id not in ("name", "parent") and not _is_no_argument(statement.value):
                    found.append(Field(statement.target.id, statement, self))
        return found

    @cached_property
    def class_attributes(self) -> dict[str, ast.expr]:
        """Unannotated `name = value` of the class body: class attributes, but new defaults for inherited
        fields.
        """
        found: dict[str, ast.expr] = {}
        for statement in self.node.body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        found[target.id] = statement.value
            elif (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and statement.value is not None
                and "ClassVar" in ast.unparse(statement.annotation)
            ):
                found[statement.target.id] = statement.value
        return found

    @cached_property
    def attributes_tested_for_sign(self) -> frozenset[str]:
        """Attributes that code of the class body compares with a negative number, or by `< 0` and `>= 0`."""
        found: set[str] = set()
        for node in ast.walk(self.node):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                negative = any(isinstance(p, ast.UnaryOp) and isinstance(p.op, ast.USub) for p in parts)
                zero = any(isinstance(p, ast.Constant) and p.value == 0 for p in parts)
                sign = any(isinstance(op, ast.Lt | ast.GtE) for op in node.ops)
                if negative or (zero and sign):
                    found.update(p.attr for p in parts if isinstance(p, ast.Attribute))
        return frozenset(found)

    @cached_property
    def own_methods(self) -> dict[str, Method]:
        """Functions defined in the class body (the last definition of a name wins, as in Python)."""
        found: dict[str, Method] = {}
        for statement in self.node.body:
            if isinstance(statement, FunctionNode):
                found[statement.name] = self._method(statement)
        return found

    def _method(self, node: FunctionNode) -> Method:
        compact = nowrap = False
        kind = "method"
        others: list[ast.expr] = []
        for decorator in node.decorator_list:
            name = self.resolve_in_class(decorator)
            linen = linen_name(name)
            if linen == "compact":
                compact = True
            elif linen == "nowrap":
                nowrap = True
            elif name in ("property", "functools.cached_property"):
                kind = "property"
            elif name == "staticmethod":
                kind = "static"
            elif name == "classmethod":
                kind = "class"
            else:
                others.append(decorator)
        return Method(node.name, node, self, compact, nowrap, kind, tuple(others))

    def resolve_in_class(self, node: ast.expr) -> str | None:
        """Canonical name of a dotted expression in the class body; builtins resolve to themselves."""
        if node not in self._resolved:
            self._resolved[node] = self._resolve(node)
        return self._resolved[node]

    def _resolve(self, node: ast.expr) -> str | None:
        scope = self.module.scope_at(node)
        name = canonical(self.program_project.resolve(node, scope, self.module))
        if name is None and isinstance(node, ast.Name) and not scope.lookup(node.id):
            return node.id
        return name

    program_project: Project = field(init=False, repr=False)
    known_classes: dict[str, LinenClass] = field(init=False, repr=False)

    @cached_property
    def mro(self) -> list[LinenClass]:
        """This class and its project bases in lookup order (C3; falls back to depth first where C3 fails)."""
        sequences = [list(base.mro) for base in self.bases] + [list(self.bases)]
        order = [self]
        while any(sequences):
            sequences = [s for s in sequences if s]
            head = next(
                (s[0] for s in sequences if not any(s[0] in other[1:] for other in sequences)),
                sequences[0][0],
            )
            order.append(head)
            sequences = [[c for c in s if c is not head] for s in sequences]
        return order

    @property
    def fields(self) -> list[Field]:
        """All fields in the order of the dataclass constructor: bases first, redefinitions in the old
        place.
        """
        merged: dict[str, Field] = {}
        for cls in reversed(self.mro):
            for item in (*cls.layer_fields, *cls.own_fields):
                merged[item.name] = item
        return list(merged.values())

    def field(self, name: str) -> Field | None:
        """The field of that name, own or inherited."""
        return next((f for f in self.fields if f.name == name), None)

    def method(self, name: str) -> Method | None:
        """The method that `self.name` means."""
        for cls in self.mro:
            if name in cls.own_methods:
                return cls.own_methods[name]
        return None

    def method_after(self, owner: LinenClass, name: str) -> Method | None:
        """The method that `super().name` means in a method of `owner`."""
        rest = self.mro[self.mro.index(owner) + 1 :] if owner in self.mro else []
        for cls in rest:
            if name in cls.own_methods:
                return cls.own_methods[name]
        return None

    def class_attribute(self, name: str) -> tuple[ast.expr, LinenClass] | None:
        """An unannotated class attribute (not a field) and the class that defines it."""
        for cls in self.mro:
            if name in cls.class_attributes:
                return cls.class_attributes[name], cls
        return None

    @cached_property
    def override(self) -> ParamOverride | CallOverride | None:
        """How it changes the parameters or the call of a built-in layer, if it does nothing else."""
        return override(self)

    @cached_property
    def layer_fields(self) -> list[Field]:
        """The fields of the layer that it derives from, if nothing else of that layer matters."""
        node = layer_node(self.layer_base)
        if node is None or not has_own_code(self):
            return []
        owner = LinenClass(f"{LINEN}.{node.name}", layers(), node)
        owner.program_project, owner.known_classes = self.program_project, self.known_classes
        return [Field(name, kept, owner) for name, kept in kept_fields(node, self.program_project)]

    @property
    def is_subclass_of_layer(self) -> str | None:
        """The built-in layer whose code its instances run (`Dense`), None for plain modules."""
        return next((c.layer_base for c in self.mro if c.layer_base and not c.layer_fields), None)


def _is_no_argument(default: ast.expr | None) -> bool:
    """`field(init=False)`: an attribute that setup fills, no constructor argument."""
    return isinstance(default, ast.Call) and any(
        k.arg == "init" and isinstance(k.value, ast.Constant) and k.value.value is False
        for k in default.keywords
    )


def _is_class_at(node: ast.AST, position: tuple[int, int]) -> bool:
    return isinstance(node, ast.ClassDef) and (node.lineno, node.col_offset) == position


class LinenProgram(ProjectFacts):
    """All Linen classes of a project, by qualified name."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.classes: dict[str, LinenClass] = {}
        self._plain: dict[ast.ClassDef, LinenClass] = {}
        self._meanings: dict[tuple[Module, ast.expr], str | None] = {}
        self._find()

    def __iter__(self) -> Iterator[LinenClass]:
        return iter(self.classes.values())

    @cached_property
    def makes_all_mutable(self) -> bool:
        """Whether a call of some model may change its parameters, as an initialisation does."""
        return any(True for _ in self.project.matching(_ALL_MUTABLE))

    @cached_property
    def gated_units(self) -> GatedUnits:
        """Which fields called like an activation may hold one that changes sizes."""
        return GatedUnits(self.project, self.classes)

    @cached_property
    def references(self) -> References:
        """Where the project names its classes."""
        from nnx_migrate.linen.programs.constructions.references import References

        return References(self)

    @cached_property
    def unbound_methods(self) -> UnboundMethods:
        """Methods that no module with variables runs."""
        from nnx_migrate.linen.classes.unbound_methods import UnboundMethods

        return UnboundMethods(self)

    def _find(self) -> None:
        found = find_linen_classes(self.project)
        for place in found:
            module = self.project.module(place.path)
            assert module is not None  # it was parsed to find the class
            node = next(n for n in module.scopes.of_node if _is_class_at(n, place.position))
            assert isinstance(node, ast.ClassDef)
            cls = LinenClass(place.qualified, module, node)
            cls.program_project, cls.known_classes = self.project, self.classes
            self.classes[place.qualified] = cls
            if any(name is None for name in cls.set_names()):
                cls.problem = "its `__name__` is computed"
        for place in found:
            cls = self.classes[place.qualified]
            for base, name in zip(cls.node.bases, place.bases, strict=True):
                self._link(cls, base, name)

    def _link(self, cls: LinenClass, base: ast.expr, name: str | None) -> None:
        if name is None:
            cls.problem = cls.problem or f"base `{ast.unparse(base)}` can't be resolved"
        elif name in (_MODULE, CELL) or name in _HARMLESS_BASES:
            return
        elif name in self.classes:
            cls.bases.append(self.classes[name])
        elif (layer := linen_name(name)) is not None:
            cls.layer_base = layer
        else:
            definition = self.project.definition(name)
            if (
                definition is not None
                and isinstance(definition.node, ast.ClassDef)
                and self._is_plain(definition.module, definition.node)
            ):
                cls.bases.append(self._plain_class(name, definition.module, definition.node))
            else:
                cls.problem = (
                    cls.problem or f"base `{ast.unparse(base)}` is neither Linen nor part of the project"
                )

    def _is_plain(self, module: Module, node: ast.ClassDef) -> bool:
        """Whether a class derives from nothing that matters. Protocols do: NNX has another metaclass."""
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]  # Generic[T]
        scope = module.scope_at(node)
        names = [self.project.resolve(b, scope, module) or ast.unparse(b) for b in bases]
        metaclasses = [self.project.resolve(k.value, scope, module) for k in node.keywords]
        return all(n in _HARMLESS_BASES for n in names) and all(n == "abc.ABCMeta" for n in metaclasses)

    def _plain_class(self, name: str, module: Module, node: ast.ClassDef) -> LinenClass:
        """A mixin of the project that is no module itself."""
        if node not in self._plain:
            mixin = LinenClass(name, module, node)
            mixin.program_project, mixin.known_classes = self.project, self.classes
            self._plain[node] = mixin
        return self._plain[node]

    def meaning(self, node: ast.expr, module: Module) -> str | None:
        """The canonical qualified name of a dotted expression, looked up once: methods are followed many times."""
        key = module, node
        if key not in self._meanings:
            self._meanings[key] = canonical(self.project.resolve(node, module.scope_at(node), module))
        return self._meanings[key]

    def find(self, qualified: str | None) -> LinenClass | None:
        """The Linen class with this canonical qualified name."""
        return self.classes.get(qualified) if qualified else None
