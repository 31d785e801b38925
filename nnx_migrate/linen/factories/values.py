"""What fields that hold layer factories are given, and what that makes of them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.names.modules import Module
from nnx_migrate.names.parameters import arguments_by_name


@dataclass(frozen=True)
class BoundFields:
    """The fields of a class that some of its partials bind, and those that all of them bind."""

    cls: LinenClass
    bound: frozenset[str]
    always: frozenset[str]


@dataclass(frozen=True, eq=False)
class Factory:
    """What a field is given: something that makes a `layer`, or one of several `classes` of the project.

    For a layer, `bound` are the fields that partials bind, `flag` its mode flag if it is among them, and a call
    gives it. `derived` is the class of the project that changes the layer, `several` stands for one of several
    layers, in whose place it may be one of `classes`. Only some partials of a class bind the `optional` ones among
    its fields; `by_class` tells that of each class where there are partials of several classes.
    `value` stands for it in the class's own code. Nodes without a position are placeholders: what they are
    is only known where the class is constructed.
    """

    field: str
    layer: str
    classes: tuple[LinenClass, ...]
    bound: frozenset[str]
    flag: str
    value: Any
    default: bool = False  # a construction leaves the field out
    derived: LinenClass | None = None
    several: tuple[Factory, ...] = ()
    optional: frozenset[str] = frozenset()
    by_class: tuple[BoundFields, ...] = ()

    def pairs(self, given: Given) -> list[tuple[Factory, Given]]:
        """What a construction gives for each of the layers, where the field gets one of several."""
        if not self.several:
            return [(self, given)]
        found = {one.kind: one for one in given.several or (given,)}
        return [
            (one, found[one.layer, one.derived]) for one in self.several if (one.layer, one.derived) in found
        ]


@dataclass(frozen=True, eq=False)
class Called:
    """The call, in a `module`, of a function of the project that returns what a factory field is given."""

    module: Module
    call: ast.Call
    function: ast.FunctionDef

    def arguments_in(self, node: ast.AST) -> list[ast.expr]:
        """What the call gives the parameters that an expression of the function reads."""
        names = [argument.arg for argument in self.function.args.args]
        given = arguments_by_name(self.call, names)
        read = (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        return [given[name] for name in dict.fromkeys(read) if name in given]


@dataclass(frozen=True, eq=False)
class Given:
    """What one construction gives a factory field.

    `node` is the expression there, `partial` the partial that it is or that the local `variable` holds, and
    `source` the factory field of the enclosing class that it comes from. For one of `several` layers, or partials of
    classes, that a variable holds, these are what each of them is; `module` has their code. The function with that
    code was `called`. It may be one of `classes` in place of these layers.
    """

    node: ast.expr
    layer: str = ""
    classes: tuple[LinenClass, ...] = ()
    partial: ast.Call | None = None
    variable: bool = False
    source: Factory | None = None
    derived: LinenClass | None = None
    several: tuple[Given, ...] = ()
    module: Module | None = None
    called: Called | None = None

    @property
    def kind(self) -> tuple[str, LinenClass | None]:
        """The layer, and the class of the project that changes it."""
        return self.layer, self.derived

    @property
    def layers(self) -> tuple[Given, ...]:
        """The layers of which it is one; none for classes of the project."""
        return tuple(one for one in self.several or (self,) if one.layer)

    @property
    def bound(self) -> frozenset[str]:
        """The fields of the layer that are bound."""
        own = {k.arg or "" for k in self.partial.keywords} if self.partial is not None else set()
        return frozenset(own) | (self.source.bound if self.source is not None else frozenset())

    def flag(self, name: str) -> ast.expr | None:
        """What is bound as the mode flag: an expression, or a placeholder for the enclosing class's own."""
        for keyword in self.partial.keywords if self.partial is not None else ():
            if keyword.arg == name:
                return keyword.value
        return ast.Name(name) if self.source is not None and self.source.flag == name else None


def placeholder(node: ast.AST) -> str | None:
    """The name of a placeholder, None for code that stands in a file."""
    return node.id if isinstance(node, ast.Name) and not hasattr(node, "lineno") else None


def is_fixed(factory: Factory, found: Iterable[Given]) -> bool:
    """Whether fields decide about the mode that each of these binds: then the constructor knows it."""
    return factory.flag != "" and all(_is_fixed_in(factory.flag, given) for given in found)


def _is_fixed_in(flag: str, given: Given) -> bool:
    if given.source is not None:
        return given.source.flag != flag and flag in given.source.bound
    node = given.flag(flag)
    module, nodes = given.module, [node] if node is not None else []
    if given.called is not None and node is not None:
        module, nodes = given.called.module, given.called.arguments_in(node)
    function = module.enclosing(nodes[0], ast.FunctionDef) if module is not None and nodes else None
    names = {n.id for one in nodes for n in ast.walk(one) if isinstance(n, ast.Name)}
    in_class = function is not None and isinstance(module.parents.get(function), ast.ClassDef)  # type: ignore[union-attr]
    return not in_class or names <= {"self"}
