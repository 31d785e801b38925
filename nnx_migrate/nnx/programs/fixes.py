"""From a group of the plan to one fix: the classes, the programs around them, and the helpers they need."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nnx_migrate.engine.context import PREFERRED_IMPORTS, ProjectContext
from nnx_migrate.engine.findings import FileChange, Fix, ImportRequest, Safety
from nnx_migrate.linen.programs.constructions.vmapped_classes import shared_places
from nnx_migrate.linen.programs.hidden.asked import linen_kinds
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.values import Attribute
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.groups import Group
from nnx_migrate.nnx.helpers import bundle
from nnx_migrate.nnx.helpers.placement import (
    helper_home,
    helper_import,
    helper_path,
    imported_helpers,
)
from nnx_migrate.nnx.parameter_entries import class_key
from nnx_migrate.nnx.programs.constructions import (
    VMAPPED,
    applied_function,
    asked_for_class,
    functional_construction,
    tabulated,
)
from nnx_migrate.nnx.programs.entry_counts import UNLISTED
from nnx_migrate.nnx.programs.idiomatic.program import Program, idiomatic_programs
from nnx_migrate.nnx.programs.makers import functional_values
from nnx_migrate.nnx.programs.summed_sizes import files_that_sum
from nnx_migrate.nnx.writer.symbols import SizeParameter
from nnx_migrate.nnx.writer.written import Outside, helped
from nnx_migrate.numerics.parameter_map import ParameterMap, to_json
from nnx_migrate.sources.text import Edit


class FixWriter:
    """Writes the fixes of all groups that can move; they share their helper modules."""

    def __init__(self, context: ProjectContext, groups: Iterable[Group]) -> None:
        self.context = context
        self.groups = [group for group in groups if group.can_move]
        self._index = ProjectIndex(context.project)
        self._programs = {id(group): self._idiomatic(group) for group in self.groups}
        self._helpers: dict[Path, set[str]] = {}
        self._homes: dict[tuple[Path, str], Module] = {}  # by the file that imports a helper, and its name
        self._imported: dict[tuple[Path, str], Path] = {}
        for module in context.project.modules():  # what an earlier run or pass has written stays
            for path, name in imported_helpers(module, context.project):
                self._helpers.setdefault(path, set()).add(name)
                self._imported[module.path, name] = path
        for group in self.groups:
            for _, name, home in self._needed(group):
                self._helpers.setdefault(helper_path(home, self.context.project), set()).add(name)

    def fix(self, group: Group) -> Fix:
        """The fix of one group."""
        edits: dict[Path, list[Edit]] = {}
        imports: dict[Path, list[ImportRequest]] = {}
        for conversion in group.conversions:
            edits.setdefault(conversion.path, []).extend(conversion.edits)
            imports.setdefault(conversion.path, []).extend(
                sorted(conversion.imports, key=lambda r: r.qualified)
            )
            for function in conversion.functions.values():
                imports.setdefault(function.module.path, []).extend(
                    sorted(function.imports, key=lambda r: r.qualified)
                )
        for module, edit in function_edits(group):
            edits.setdefault(module.path, []).append(edit)
        for program in self._programs[id(group)]:
            for module, edit in program.edits:
                edits.setdefault(module.path, []).append(edit)
            for module, request in program.imports:
                imports.setdefault(module.path, []).append(request)
        for instance in sorted(
            self._functional(group), key=_start, reverse=True
        ):  # `Outer(Part())`: Part first
            path = instance.reference.module.path
            edits.setdefault(path, []).extend(
                functional_construction(instance, group.sizes[instance], group.helper_of(instance.reference))
            )
        for module in files_that_sum(group):
            imports.setdefault(module.path, []).append(PREFERRED_IMPORTS["jax"])
        for module, changed, requests in self._uses(group):
            edits.setdefault(module.path, []).extend(changed)
            imports.setdefault(module.path, []).extend(requests)
        for handed in group.handed:
            edits.setdefault(handed.module.path, []).extend(handed.edits)
            imports.setdefault(handed.module.path, []).extend(
                sorted(handed.imports, key=lambda r: r.qualified)
            )
        conversions = {c.qualified: c for c in group.conversions}
        helpers = {c.qualified: group.helper(c.cls) for c in group.conversions}
        for module, edit in functional_values(group.values, conversions, helpers):
            edits.setdefault(module.path, []).append(edit)
        for module, call in shared_places(group.values):
            edits.setdefault(module.path, []).append(Edit(*module.source.span(call.func), VMAPPED))
        for module, edit in group.names:
            edits.setdefault(module.path, []).append(edit)
        for module, edit in group.copies.edits:
            edits.setdefault(module.path, []).append(edit)
        for module, request in group.copies.imports:
            imports.setdefault(module.path, []).append(request)
        creates: dict[Path, str] = {}
        for module, name, home in self._needed(group):
            request = helper_import(module, name, self.context.project, home)
            imports.setdefault(module.path, []).append(request)
            self._provide(helper_path(home, self.context.project), edits, creates)
        changes = {
            path: FileChange(tuple(edits.get(path, ())), tuple(dict.fromkeys(imports.get(path, ()))))
            for path in {**edits, **imports}
        }
        return Fix("convert to NNX", Safety.SAFE, changes, creates, _records(group))

    def _provide(self, path: Path, edits: dict[Path, list[Edit]], creates: dict[Path, str]) -> None:
        """Write the helper module, or rewrite the one that is there and lacks something."""
        text = bundle(self._helpers[path])
        if not path.exists():
            creates[path] = text
            return
        module = self.context.project.module(path)
        if module is not None and not defined(text) <= defined(module.source.text) and path not in edits:
            edits[path] = [Edit(0, len(module.source.text), text)]

    def _idiomatic(self, group: Group) -> list[Program]:
        """The programs that don't stay programs of functions."""
        if self.context.config.programs == "functional" or group.has_lists_as_linen:
            return []
        others = [
            *((c.cls.module, edit) for c in group.conversions for edit in c.edits),
            *((handed.module, edit) for handed in group.handed for edit in handed.edits),
            *function_edits(group),
            *group.names,
            *group.copies.edits,
        ]
        return idiomatic_programs(self._index, group, others)

    def _functional(self, group: Group) -> list[Instance]:
        """The modules that programs go on to use by functions of their variables."""
        taken = {id(i) for program in self._programs[id(group)] for i in program.instances}
        return [i for i in group.instances if id(i) not in taken and not i.is_only_called]

    def _uses(self, group: Group) -> Iterator[tuple[Module, list[Edit], list[ImportRequest]]]:
        """The edits where programs use modules by functions that only know Linen's, each place once."""
        instances = [*group.instances, *group.made]
        for module, call in _once(place for i in instances for place in i.applied):
            yield module, list(applied_function(module, call)), []
        for module, call in _once(place for i in instances for place in i.tabulated):
            edit, requests = tabulated(module, call)
            yield module, [edit], requests
        for module, call in _once(place for i in instances for place in i.asked):
            kinds = linen_kinds(self.context.project, module, call) if len(call.args) == 2 else []
            requests = [PREFERRED_IMPORTS["flax.nnx"]] if kinds else []
            yield module, list(asked_for_class(module, call, kinds or [])), requests

    def _needed(self, group: Group) -> Iterator[tuple[Module, str, Module]]:
        """Which file needs which helper, and a file whose helpers it shares: one for each name."""
        for module, name, home in self._homes_of(group):
            home = self._homes.setdefault((module.path, name), home)
            path = helper_path(home, self.context.project)
            if self._imported.get((module.path, name), path) == path:
                yield module, name, home

    def _homes_of(self, group: Group) -> Iterator[tuple[Module, str, Module]]:
        for conversion in group.conversions:
            for module, helpers in helped(
                conversion.cls.module, conversion.helpers, conversion.functions.values()
            ):
                yield from ((module, name, module) for name in sorted(helpers))
        for (module, _), values in shared_places(group.values).items():
            yield module, VMAPPED, helper_home(module, values[0].cls.module, self.context.project)
        for module in group.counting:
            home = helper_home(module, group.classes[0].module, self.context.project)
            yield module, UNLISTED, home
        uses = [i.reference for i in self._functional(group)] + [v.reference for v in group.values]
        for use in uses:
            home = helper_home(use.module, use.cls.module, self.context.project)
            yield use.module, group.helper_of(use), home


def _start(instance: Instance) -> int:
    return instance.reference.module.source.span(instance.reference.call)[0]


def _once(places: Iterable[tuple[Module, ast.Call]]) -> Iterable[tuple[Module, ast.Call]]:
    return dict.fromkeys(places)


def function_edits(group: Group) -> list[tuple[Module, Edit]]:
    """The edits of the functions that classes share, each once."""
    found: dict[Outside, list[tuple[Module, Edit]]] = {}
    for conversion in group.conversions:
        for node, function in conversion.functions.items():
            found.setdefault(node, [(function.module, edit) for edit in function.edits])
    return [edit for edits in found.values() for edit in edits]


def defined(text: str) -> set[str]:
    """The functions and classes of a module."""
    return {n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def _records(group: Group) -> dict[str, Any]:
    """The parameter map's entries of each class, and which sizes its constructor newly takes."""
    records = to_json(ParameterMap({class_key(c.cls): c.entries for c in group.conversions}))["modules"]
    for conversion in group.conversions:
        sizes = [
            {
                "name": s.name,
                **_place(conversion, s.path),
                "axis": s.axis,
                **_rank(conversion, s),
                **({"flat": True} if s.flat else {}),
                **({"joined": True} if s.joined else {}),
                **({"optional": True} if s.optional else {}),
                **({"dtype": True} if s.is_dtype else {}),
                **({"listed": s.listed, "method": s.method} if s.listed is not None else {}),
            }
            for s in conversion.sizes
            if s.method == "__call__"
        ]
        records[class_key(conversion.cls)] |= {"sizes": sizes, "rngs": conversion.needs_rngs}
    return dict(records)


def _rank(conversion: ClassConversion, size: SizeParameter) -> dict[str, Any]:
    """How many axes the input has, where that is known."""
    ranks = conversion.analysis.session.input_ranks if conversion.analysis is not None else {}
    return {"rank": ranks[size.path]} if size.path in ranks else {}


def _place(conversion: ClassConversion, path: Sequence[str | int]) -> dict[str, Any]:
    """Which part of which argument of `__call__` a path leads to, an item of its `*args` being one.

    `index` is the argument's position, -1 for one that is by keyword only.
    """
    method = conversion.cls.method("__call__")
    spec = method.node.args if method is not None else None
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)][1:] if spec is not None else []
    head, *rest = path
    index = names.index(head) if head in names else -1
    if spec is not None and spec.vararg is not None and spec.vararg.arg == head and rest:
        head, index, rest = f"{head}[{rest[0]}]", len(names) + int(rest[0]), rest[1:]
    return {"path": [head, *(f".{p}" if isinstance(p, Attribute) else p for p in rest)], "index": index}
