"""Whether a module that another one gets is surely called while that is initialised.

Linen creates the parameters of a module when it is called, NNX when it is made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories.uses import given_arguments
from nnx_migrate.linen.fields.declared import declares_data
from nnx_migrate.linen.programs.dataflow import dict_keys
from nnx_migrate.linen.programs.dataflow.dict_contents import DictContents
from nnx_migrate.linen.programs.handed.sure_reads import (
    ANYTHING,
    ITEMS,
    UNKNOWN,
    Given,
    Read,
    constant,
    given_by_call,
    item_of,
)
from nnx_migrate.linen.programs.inputs.entry_calls import method_of
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.reached import sure_uses
from nnx_migrate.linen.symbols import canonical, linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import contains, is_of_self

#: What makes variables of a module, or gives it others.
_MAKING = frozenset({"param", "variable", "put_variable", "sow", "perturb", "get_variable", "bind", "scope"})
#: The methods that one initialisation calls, with what it gives them.
Start = list[tuple[str, Given]]
_ANY_CALL: Start = [("__call__", ANYTHING)]


@dataclass(frozen=True, eq=False)
class Handing:
    """`holder` gets `modules` as its field `name`, by the expression `node`: one of them, a list, or a dictionary.

    `keys` has those of a dictionary with their keys, None for unknown ones.
    """

    holder: Instance
    name: str
    is_list: bool
    modules: tuple[Instance, ...]
    module: Module
    node: ast.expr
    keys: tuple[tuple[str | None, Instance], ...] = ()

    def reads_of(self, key: str | None) -> set[str]:
        """What a call of the module reads, that of each module in a list, or the one under a key."""
        if not self.keys:
            return {self.name + ITEMS if self.is_list else self.name}
        return {self.name + ITEMS} | ({item_of(self.name, key)} if key is not None else set())


class HandedUses:
    """What initialisations of the holders surely use, over all handings of a program."""

    def __init__(self, handings: Iterable[Handing], dicts: DictContents) -> None:
        self.dicts = dicts
        self._handings: dict[int, list[Handing]] = {}  # by the module that is handed
        self._starts: dict[int, list[Start]] = {}
        for handing in handings:
            for instance in handing.modules:
                known = self._handings.setdefault(id(instance), [])
                if handing not in known:
                    known.append(handing)

    def are_sure(self, handing: Handing) -> bool:
        """Whether every initialisation of the holder calls the modules.

        A module without variables has none to create.
        """
        if all(_has_no_variables(instance.cls) for instance in handing.modules):
            return True
        keys = {key for key, instance in handing.keys if not _has_no_variables(instance.cls)} or {None}
        return all(
            any(read.name in handing.reads_of(key) for read in self._uses(handing, key, start))
            for start in self._starts_of(handing.holder)
            for key in keys
        )

    def _uses(self, handing: Handing, key: str | None, start: Start) -> set[Read]:
        """What an initialisation of a holder surely uses, if there is a module under a key."""
        fields = _known_fields(handing.holder)
        if key is not None:
            fields[item_of(handing.name, key)] = True
        return _uses(handing.holder, start, fields)

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
            [(method_of(call), self._given(module, call))] for module, call in instance.inits
        ]
        if instance.passes_init_on:
            found.append(_ANY_CALL)
        for handing in self._handings.get(id(instance), ()):
            for key in {key for key, one in handing.keys if one is instance} or {None}:
                by_entries = self._by_entries(handing, key) if key is not None else None
                if by_entries is not None:
                    found += by_entries
                    continue
                for start in self._starts_of(handing.holder):
                    reads = self._uses(handing, key, start)
                    calls = [("__call__", read.given) for read in reads if read.name in handing.reads_of(key)]
                    found.append(sorted(calls, key=repr) or _ANY_CALL)
        return [start for n, start in enumerate(found) if start not in found[:n]] or [_ANY_CALL]

    def _given(self, module: Module, call: ast.Call) -> Given:
        """What a call of `init` gives; the keys of dictionaries that it unpacks are names."""
        given = given_by_call(call, {}, skip=1)
        unpacked = [k.value for k in call.keywords if k.arg is None]
        if given.complete or not unpacked or any(isinstance(a, ast.Starred) for a in call.args):
            return given
        entries = [self.dicts.of(module, node) for node in unpacked]
        names = {entry.key for found in entries for entry in found or ()}
        if None in entries or None in names:
            return given
        return Given(given.positional, given.named | {(str(name), UNKNOWN) for name in names}, True)

    def _by_entries(self, handing: Handing, key: str) -> list[Start] | None:
        """The ways in which a module is initialised that stands under a key of a dictionary, whose holder hands it the
        argument of that name: `init(key, actor=(observations,))`; None where that isn't so.
        """
        holder, method = handing.holder, handing.holder.cls.method("__call__")
        if not hands_on_by_key(holder.cls, handing.name) or holder.passes_init_on or holder.holders:
            return None
        found: list[Start] = []
        for module, call in holder.inits:
            given = self._given(module, call)
            others = method is None or any(name in method.parameters for name, _ in given.named)
            if method_of(call) != "__call__" or not given.complete or given.positional or others:
                return None
            values = [(module, k.value) for k in call.keywords if k.arg == key]
            for node in (k.value for k in call.keywords if k.arg is None):
                values += [(e.module, e.node) for e in self.dicts.under(module, node, key) or ()]
            if not values:
                return None
            for where, value in values:
                ways = _as_arguments(where, value)
                if ways is None:
                    return None
                found += [[("__call__", given)] for given in ways]
        return found


def _uses(instance: Instance, start: Start, fields: dict[str, Any]) -> set[Read]:
    return sure_uses(instance.cls, [*start, ("setup", ANYTHING)], fields)


def hands_on_by_key(cls: LinenClass, name: str) -> bool:
    """Whether `__call__` calls the modules of a dictionary by keys alone, and gives each what its own arguments have
    under that key, `self.modules[key](*value)`, or all that it gets: `self.modules[name](*args, **kwargs)`.
    """
    method = cls.method("__call__")
    if method is None or method.node.args.kwarg is None:
        return False
    vararg, kwarg = method.node.args.vararg, method.node.args.kwarg.arg
    loops = [n for n in ast.walk(method.node) if isinstance(n, ast.For) and _items_of(n.iter) == kwarg]
    in_loops = {part for loop in loops for part in ast.walk(loop.target)}
    names = (n for n in ast.walk(method.node) if isinstance(n, ast.Name) and n not in in_loops)
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    if kwarg in dict_keys.changed(method.node):
        return False
    for node in ast.walk(method.node):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)):
            continue
        if is_of_self(node.func.value, name):
            given = _unpacked(node)
            around = [_pair(loop) for loop in loops if contains(loop, node)]
            by_key = len(given) == 1 and [_name(node.func.slice), *given] in around
            if (not by_key and (vararg is None or given != [vararg.arg, kwarg])) or bound & set(given):
                return False
    return True


def _unpacked(call: ast.Call) -> list[str]:
    """The names of what a call unpacks, and of its arguments; "" for anything else."""
    given = [_name(a.value if isinstance(a, ast.Starred) else a) for a in call.args]
    return given + [_name(k.value) if k.arg is None else "" for k in call.keywords]


def _pair(loop: ast.For) -> list[str]:
    return [_name(part) for part in loop.target.elts] if isinstance(loop.target, ast.Tuple) else []


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _items_of(node: ast.expr) -> str:
    """`inputs` of `inputs.items()`."""
    listed = dict_keys.listed_by(node, "items")
    return _name(listed) if listed is not None else ""


def _as_arguments(module: Module, node: ast.expr) -> list[Given] | None:
    """The ways in which `module(value)`, `module(*value)` or `module(**value)` may give a value; None if unknown."""
    one = Given((UNKNOWN,), frozenset(), True)
    if isinstance(node, ast.Tuple | ast.List):
        if any(isinstance(part, ast.Starred) for part in node.elts):
            return None
        return [Given((UNKNOWN,) * len(node.elts), frozenset(), True), one]
    if isinstance(node, ast.Dict):
        names = [k.value if isinstance(k, ast.Constant) else None for k in node.keys]
        if not all(isinstance(name, str) for name in names):
            return None
        return [Given((), frozenset((str(name), UNKNOWN) for name in names), True), one]
    return None


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
