"""What a class's callers know of its inputs: rank and kind of every argument that all known calls agree on.

Callers are the project's other modules (analysed with what their own callers know), the samples that programs
hand to `init` and `apply`, and the shapes that the configuration states.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.effects.arguments import kind
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.programs.constructions.references import ClassReference
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.inputs.entry_calls import argument_of, method_of
from nnx_migrate.linen.programs.inputs.sample_inputs import SampleInputs
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LayerCall
from nnx_migrate.linen.values import Attribute, ClassRef, Record
from nnx_migrate.names.modules import Module

Path = tuple[str | int, ...]
Ranks = dict[Path, int]
Kinds = dict[Path, str]
_Known = tuple[int | None, str | None]
_Argument = tuple[Module, ast.expr]
_Display = tuple[Module, ast.Tuple | ast.List | ast.Dict]


class Callers:
    """Answers which ranks the inputs of a class have. `analyse` interprets a class with given ranks."""

    def __init__(
        self,
        finder: InstanceFinder,
        stated: StatedInputs,
        analyse: Callable[[LinenClass, Ranks], ClassAnalysis],
    ) -> None:
        self.finder, self.stated, self.analyse = finder, stated, analyse
        self.samples = SampleInputs(finder.program.project)
        self._known: dict[LinenClass, tuple[Ranks, Kinds]] = {}
        self._analyses: dict[LinenClass, ClassAnalysis | None] = {}
        self._open: set[LinenClass] = set()
        self._shown: dict[ast.expr, list[_Display]] = {}
        self._owners: dict[LinenClass, list[LinenClass]] | None = None

    def ranks(self, cls: LinenClass) -> Ranks:
        """The ranks of the class's inputs, as far as every caller that says something says the same."""
        return self._ask(cls)[0]

    def kinds(self, cls: LinenClass) -> Kinds:
        """What the class's inputs are arrays of ("int", "float", "bool"), as far as callers agree."""
        return self._ask(cls)[1]

    def _ask(self, cls: LinenClass) -> tuple[Ranks, Kinds]:
        if cls in self._known:
            return self._known[cls]
        if cls in self._open:
            return {}, {}
        self._open.add(cls)
        try:
            ranks: dict[Path, set[int]] = {}
            kinds: dict[Path, set[str]] = {}
            for path, rank in self.stated.ranks(cls):
                ranks.setdefault(path, set()).add(rank)
            for path, (known_rank, known_kind) in [*self._from_programs(cls), *self._from_modules(cls)]:
                if known_rank is not None:
                    ranks.setdefault(path, set()).add(known_rank)
                if known_kind is not None:
                    kinds.setdefault(path, set()).add(known_kind)
        finally:
            self._open.discard(cls)
        self._known[cls] = (
            {path: min(found) for path, found in ranks.items() if len(found) == 1},
            {path: min(names) for path, names in kinds.items() if len(names) == 1},
        )
        return self._known[cls]

    # ---- programs ---------------------------------------------------------------------------------------

    def _from_programs(self, cls: LinenClass) -> Iterator[tuple[Path, _Known]]:
        for instance in self.finder.known_instances:
            if cls in instance.cls.mro:
                for module, call in [*instance.inits, *instance.applies]:
                    method = _inherited(instance.cls, cls, method_of(call))
                    for name in method.parameters if method else ():
                        for given in self._given(module, call, method, name) if method else ():
                            for path, where, node in self.samples.leaves(*given):
                                yield (
                                    (name, *path),
                                    (self.samples.rank(where, node), self.samples.kind(where, node)),
                                )

    def _given(self, module: Module, call: ast.Call, method: Method, name: str) -> list[_Argument]:
        """What a parameter gets, also where `*sample` or `**sample` gives it and the code displays what this may be.

        That is all that callers of a function hand it, for several models.
        """
        plain = argument_of(call, method, name)
        if plain is not None:
            return [(module, plain)]
        found: list[_Argument] = []
        for keyword in (k for k in call.keywords if k.arg is None):
            for where, shown in self._displays(module, keyword.value):
                if isinstance(shown, ast.Dict):
                    found += [(where, value) for key, value in _items(shown) if key == name]
        if not any(isinstance(a, ast.Starred) for a in call.args):
            return found
        for args in self._positional(module, call.args):
            given = dict(zip(method.parameters, args[1:], strict=False)).get(name)
            found += [given] if given is not None else []
        return found

    def _positional(self, module: Module, nodes: Sequence[ast.expr]) -> Iterator[list[_Argument]]:
        """What a call may give by position, as far as that is displayed."""
        if not nodes:
            yield []
            return
        first, rest = nodes[0], nodes[1:]
        if not isinstance(first, ast.Starred):
            yield from ([(module, first), *args] for args in self._positional(module, rest))
            return
        for where, shown in self._displays(module, first.value) or [(module, ast.Dict([], []))]:
            if isinstance(shown, ast.Dict) or any(isinstance(e, ast.Starred) for e in shown.elts):
                yield []  # nothing is known of what comes now
            else:
                begun = [(where, element) for element in shown.elts]
                yield from ([*begun, *args] for args in self._positional(module, rest))

    def _displays(self, module: Module, node: ast.expr) -> list[_Display]:
        """The tuples, lists or dicts that an expression may be, if every one of them is displayed."""
        if node not in self._shown:
            origins = Origins(self.finder.finder, attributes=True, methods=True).of(module, node)
            found = [
                (origin[0], origin[1])
                for origin in origins
                if origin is not None and isinstance(origin[1], ast.Tuple | ast.List | ast.Dict)
            ]
            self._shown[node] = found if len(found) == len(origins) else []
        return self._shown[node]

    # ---- modules ----------------------------------------------------------------------------------------

    def _from_modules(self, cls: LinenClass) -> Iterator[tuple[Path, _Known]]:
        for owner in self._owners_of(cls):
            analysis = self._analysis(owner)
            for site in analysis.sites if analysis is not None else ():
                if isinstance(site.target, ClassRef) and cls in site.target.cls.mro:
                    for call in site.deciding_calls:
                        method = _inherited(site.target.cls, cls, call.method)
                        if method is not None and analysis is not None:
                            yield from _known_of_call(analysis, method, call)

    def _analysis(self, owner: LinenClass) -> ClassAnalysis | None:
        if owner not in self._analyses:
            self._analyses[owner] = None
            with suppress(Refuse, RecursionError):
                self._analyses[owner] = self.analyse(owner, self.ranks(owner))
        return self._analyses[owner]

    def _owners_of(self, cls: LinenClass) -> list[LinenClass]:
        """The classes whose code names the class or one that derives from it."""
        if self._owners is None:
            self._owners = {}
            bodies = {c.node: c for c in self.finder.program}
            for reference in self.finder.references.inside:
                owner = _owner(reference, bodies)
                for base in reference.cls.mro if owner is not None else ():
                    owners = self._owners.setdefault(base, [])
                    if owner is not None and owner not in owners:
                        owners.append(owner)
        return [owner for owner in self._owners.get(cls, ()) if owner is not cls]


def _owner(reference: ClassReference, bodies: Mapping[ast.ClassDef, LinenClass]) -> LinenClass | None:
    node: ast.AST | None = reference.node
    while node is not None:
        if isinstance(node, ast.ClassDef) and node in bodies:
            return bodies[node]
        node = reference.module.parents.get(node)
    return None


def _items(node: ast.Dict) -> Iterator[tuple[str, ast.expr]]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, value


def _inherited(actual: LinenClass, cls: LinenClass, name: str) -> Method | None:
    """The method that a call runs, where it is the one that `cls` has, too."""
    method = actual.method(name)
    return method if method is not None and method is cls.method(name) else None


def _known_of_call(analysis: ClassAnalysis, method: Method, call: LayerCall) -> Iterator[tuple[Path, _Known]]:
    given = {**dict(zip(method.parameters, call.args, strict=False)), **call.kwargs}
    for name, value in given.items():
        yield from _known_of_value(analysis, (name,), value)


def _known_of_value(analysis: ClassAnalysis, path: Path, value: object) -> Iterator[tuple[Path, _Known]]:
    value = effect_value(analysis.session, value)
    if isinstance(value, Array):
        yield path, (value.shape.rank, kind(value.dtype) if value.dtype is not None else None)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _known_of_value(analysis, (*path, key), item)
    elif isinstance(value, Record):
        for name, item in value.items:
            yield from _known_of_value(analysis, (*path, Attribute(name)), item)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _known_of_value(analysis, (*path, index), item)
