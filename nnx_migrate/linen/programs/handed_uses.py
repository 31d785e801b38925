"""Whether a module that another one gets is surely called while that is initialised.

Linen creates the parameters of a module when it is called, NNX when it is made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
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

#: What makes variables of a module, or gives it others.
_MAKING = frozenset({"param", "variable", "put_variable", "sow", "perturb", "get_variable", "bind", "scope"})
#: The methods that one initialisation calls, with what it gives them.
Start = list[tuple[str, Given]]
_ANY_CALL: Start = [("__call__", ANYTHING)]


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


class HandedUses:
    """What initialisations of the holders surely use, over all handings of a program."""

    def __init__(self, handings: Iterable[Handing]) -> None:
        self._handings: dict[int, list[Handing]] = {}  # by the module that is handed
        self._starts: dict[int, list[Start]] = {}
        for handing in handings:
            for instance in handing.modules:
                self._handings.setdefault(id(instance), []).append(handing)

    def are_sure(self, handing: Handing) -> bool:
        """Whether every initialisation of the holder calls the modules.

        A module without variables has none to create.
        """
        if all(_has_no_variables(instance.cls) for instance in handing.modules):
            return True
        fields = _known_fields(handing.holder)
        return all(
            any(read.name == handing.read for read in _uses(handing.holder, start, fields))
            for start in self._starts_of(handing.holder)
        )

    def _starts_of(self, instance: Instance) -> list[Start]:
        """The ways in which a module is initialised: by the program, and by those that get it.

        Each module is asked once: many ways lead to one that is handed on and on.
        """
        known = self._starts.get(id(instance))
        if known is None:
            self._starts[id(instance)] = [_ANY_CALL]  # for what is handed round in a circle
            known = self._starts[id(instance)] = self._find_starts(instance)
        return known

    def _find_starts(self, instance: Instance) -> list[Start]:
        found: list[Start] = [
            [(method_of(call), given_by_call(call, {}, skip=1))] for _, call in instance.inits
        ]
        if instance.passes_init_on:
            found.append(_ANY_CALL)
        for handing in self._handings.get(id(instance), ()):
            fields = _known_fields(handing.holder)
            for start in self._starts_of(handing.holder):
                reads = _uses(handing.holder, start, fields)
                calls = [("__call__", read.given) for read in reads if read.name == handing.read]
                found.append(sorted(calls, key=repr) or _ANY_CALL)
        return [start for n, start in enumerate(found) if start not in found[:n]] or [_ANY_CALL]


def _uses(instance: Instance, start: Start, fields: dict[str, Any]) -> set[Read]:
    return sure_uses(instance.cls, [*start, ("setup", ANYTHING)], fields)


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
