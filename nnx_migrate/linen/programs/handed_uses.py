"""Whether a module that another one gets is surely called while that is initialised.

Linen creates the parameters of a module when it is called, NNX when it is made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.declared import declares_data
from nnx_migrate.linen.factories.uses import given_arguments
from nnx_migrate.linen.model import LinenClass
from nnx_migrate.linen.programs.entry_calls import method_of
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.reached import sure_uses
from nnx_migrate.linen.programs.sure_reads import (
    ANYTHING,
    ITEMS,
    UNKNOWN,
    Given,
    Read,
    constant,
    given_by_call,
)
from nnx_migrate.linen.symbols import canonical, linen_name
from nnx_migrate.names.modules import Module

_MAX_DEPTH = 20
#: What makes variables of a module, or gives it others.
_MAKING = frozenset({"param", "variable", "put_variable", "sow", "perturb", "get_variable", "bind", "scope"})
#: The methods that one initialisation calls, with what it gives them.
Start = list[tuple[str, Given]]


@dataclass(frozen=True, eq=False)
class Handing:
    """`holder` gets `modules` as its field `name`, by the expression `node`: one of them, or a list."""

    holder: Instance
    name: str
    is_list: bool
    modules: tuple[Instance, ...]
    module: Module
    node: ast.expr

    @property
    def read(self) -> str:
        """What a call of the module, or of each module in the list, reads."""
        return self.name + ITEMS if self.is_list else self.name

    def is_surely_used(self, others: Sequence[Handing]) -> bool:
        """Whether every initialisation of the holder calls the modules; `others` tell who gets the holder itself.

        A module without variables has none to create.
        """
        if all(_has_no_variables(instance.cls) for instance in self.modules):
            return True
        fields = _known_fields(self.holder)
        return all(
            any(read.name == self.read for read in _uses(self.holder, start, fields))
            for start in _starts(self.holder, others, 0)
        )


def _uses(instance: Instance, start: Start, fields: dict[str, Any]) -> set[Read]:
    return sure_uses(instance.cls, [*start, ("setup", ANYTHING)], fields)


def _starts(instance: Instance, others: Iterable[Handing], depth: int) -> list[Start]:
    """The ways in which a module is initialised: by the program, and by those that get it."""
    found: list[Start] = [[(method_of(call), given_by_call(call, {}, skip=1))] for _, call in instance.inits]
    if instance.passes_init_on:
        found.append([("__call__", ANYTHING)])
    for other in others if depth < _MAX_DEPTH else ():
        if instance in other.modules:
            fields = _known_fields(other.holder)
            for start in _starts(other.holder, others, depth + 1):
                reads = _uses(other.holder, start, fields)
                calls = [("__call__", read.given) for read in reads if read.name == other.read]
                found.append(calls or [("__call__", ANYTHING)])
    return found or [[("__call__", ANYTHING)]]


def _has_no_variables(cls: LinenClass) -> bool:
    """Whether the code of a class surely creates no variables: it names no layer, and no code of the project."""
    if not all(declares_data(item.annotation) for item in cls.fields):
        return False
    project = cls.program_project
    for owner in cls.mro:
        for node in (n for method in owner.own_methods.values() for n in ast.walk(method.node)):
            if isinstance(node, ast.Attribute) and node.attr in _MAKING:
                return False
            if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
                continue
            found = canonical(project.resolve(node, owner.module.scope_at(node), owner.module)) or ""
            layer = linen_name(found)
            if layer[:1].isupper() if layer else project.has_package(found.partition(".")[0]):
                return False
    return True


def _known_fields(instance: Instance) -> dict[str, Any]:
    """The fields that the construction gives as constants, or leaves at defaults that are."""
    given = given_arguments(instance.cls, instance.reference.call) if not instance.clones else None
    if given is None:
        return {}
    nodes = {item.name: given.get(item.name, item.default) for item in instance.cls.fields}
    values = {name: constant(node, {}) for name, node in nodes.items() if node is not None}
    return {name: value for name, value in values.items() if value is not UNKNOWN}
