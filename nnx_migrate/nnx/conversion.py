"""Linen classes to NNX classes: the entry point.

`convert_project` analyses every Linen class of a project and gives, for each, a `ClassConversion` with the edits of
its definition, or a `Refusal`. Constructions outside of modules are rewritten with the plan (`nnx.programs`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.analyses import Analyses, Fixed
from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.bridged import Bridges
from nnx_migrate.linen.classes.derived_layers import CallOverride, ParamOverride
from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.dims.maxima import Agreed
from nnx_migrate.linen.dims.terms import Max
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.values import Factory
from nnx_migrate.linen.fields.module_dicts import dict_fields
from nnx_migrate.linen.fields.module_lists import holds_module_list
from nnx_migrate.linen.interpreter.frame import Session
from nnx_migrate.linen.programs.constructions.fixed_fields import fixed_fields
from nnx_migrate.linen.programs.constructions.references import References, Role
from nnx_migrate.linen.programs.inputs.callers import Callers
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.linen.reasons import Refusal, Refuse
from nnx_migrate.linen.sites import Facts
from nnx_migrate.linen.symbols import readable
from nnx_migrate.linen.values import FieldModule
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.agreed_sizes import Agreement
from nnx_migrate.nnx.helpers import bundle
from nnx_migrate.nnx.helpers.placement import helper_path
from nnx_migrate.nnx.parameter_entries import class_key, class_map
from nnx_migrate.nnx.ranks import RankSearch
from nnx_migrate.nnx.wrapped_methods import check_wrappers
from nnx_migrate.nnx.writer.construction.derived import write_derived
from nnx_migrate.nnx.writer.klass import ClassWriter
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import Naming
from nnx_migrate.nnx.writer.symbols import SizeParameter
from nnx_migrate.nnx.writer.written import Outside, WrittenClass, WrittenFunction, helped
from nnx_migrate.nnx.written import check_function, check_written
from nnx_migrate.numerics.layer_maps import layer_map
from nnx_migrate.numerics.parameter_map import ClassMap, ParameterMap
from nnx_migrate.sources.text import Edit


@dataclass
class ClassConversion:
    """A converted class.

    `parameters` are the old fields in order (still positional); after them come, by keyword only, `sizes`
    (each
    with the method, argument and axis whose size it is) and `rngs` (an `nnx.Rngs`) if `needs_rngs`.
    `attributes`
    maps attributes to what Linen called the submodule. `edits` change the file of the class.
    """

    cls: LinenClass
    sizes: list[SizeParameter]
    needs_rngs: bool
    edits: list[Edit] = field(default_factory=list)
    imports: frozenset[ImportRequest] = frozenset()
    helpers: frozenset[str] = frozenset()
    analysis: ClassAnalysis | None = None
    entries: ClassMap = field(default_factory=ClassMap)
    constructions: dict[ast.Call, str] = field(default_factory=dict)
    has_constructor: bool = True
    factories: Mapping[str, Factory] = field(default_factory=dict)
    assumed: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)  # ranks that callers stated
    makes_caches: bool = False  # in its calls, by itself or in submodules that it creates
    sows: bool = False  # likewise: whether its calls keep intermediate values
    functions: Mapping[Outside, WrittenFunction] = field(default_factory=dict)  # see `WrittenClass`
    is_lazy: bool = False  # it, or a submodule that it creates, holds Linen modules: inputs initialise them
    naming: Naming = Naming.FREELY
    open_maxima: frozenset[Max] = frozenset()  # see `agreed_sizes`

    @property
    def qualified(self) -> str:
        """The class's qualified name."""
        return self.cls.qualified

    @property
    def parameters(self) -> list[str]:
        """The old fields, in order."""
        return [item.name for item in self.cls.fields]

    @property
    def bridged(self) -> frozenset[LinenClass]:
        """The classes of its submodules that stay Linen."""
        sites = self.analysis.sites if self.analysis is not None else []
        return frozenset(cls for site in sites if site.bridged is not None for cls in site.classes)

    @property
    def takes_modules(self) -> bool:
        """Whether its constructor gets modules."""
        fields = self.analysis.session.fields.values() if self.analysis is not None else ()
        single = any(isinstance(value, FieldModule) for value in fields)
        several = any(holds_module_list(self.cls, item) for item in self.cls.fields)
        return single or several or bool(dict_fields(self.cls))

    @property
    def is_stateless(self) -> bool:
        """Whether its modules hold nothing but what the constructor gets."""
        has_parts = self.analysis is None or bool(self.analysis.sites or self.analysis.variables)
        has_parts = has_parts or self.takes_modules
        return not (
            has_parts or self.sizes or self.needs_rngs or self.is_lazy or self.sows or self.makes_caches
        )

    @property
    def path(self) -> Path:
        """The file that `edits` change."""
        return self.cls.module.path


@dataclass
class Conversions:
    """What became of every Linen class of a project, by qualified name."""

    program: LinenProgram
    factories: Factories
    converted: dict[str, ClassConversion] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    namings: dict[LinenClass, Naming] = field(default_factory=dict)  # FREELY where none is given
    convert: Callable[[LinenClass], ClassConversion] | None = None  # as long as the program is as it was read

    @cached_property
    def finder(self) -> InstanceFinder:
        """Where programs make and use modules."""
        return InstanceFinder(self.program)

    @property
    def helper_files(self) -> dict[Path, str]:
        """Files with the helpers that converted classes import: to be written with the edits."""
        wanted: dict[Path, set[str]] = {}
        for conversion in self.converted.values():
            for module, helpers in helped(
                conversion.cls.module, conversion.helpers, conversion.functions.values()
            ):
                wanted.setdefault(helper_path(module, self.program.project), set()).update(helpers)
        return {path: bundle(names) for path, names in wanted.items()}

    @property
    def parameter_map(self) -> ParameterMap:
        """Where every Linen variable of the converted classes goes."""
        return ParameterMap({class_key(c.cls): c.entries for c in self.converted.values()})


def convert_project(
    project: Project,
    wanted: Callable[[LinenClass], bool] = lambda cls: True,
    stated: StatedInputs | None = None,
    bridge: bool = True,
) -> Conversions:
    """Convert the classes that `wanted` selects (with everything that they build on).

    `stated` are the shapes of inputs that the configuration gives; `bridge` lets converted classes hold others that
    stay Linen.
    """
    return _Converter(LinenProgram(project), stated or StatedInputs(), bridge).run(wanted)


class _Converter:
    """Converts classes depth first: a class after the classes of its submodules."""

    def __init__(self, program: LinenProgram, stated: StatedInputs, bridge: bool) -> None:
        self.program, self.stated = program, stated
        self.bridges = Bridges(program) if bridge else None
        self.factories = Factories(program, lambda: self.references)
        self.analyses = Analyses(
            program,
            self.factories,
            lambda cls: self._callers.kinds(cls),
            lambda: self.result.finder.known_instances,
        )
        self.result = Conversions(program, self.factories, convert=self.convert)
        self.names: dict[Path, FileNames] = {}
        self.open: list[LinenClass] = []
        self.agreed: dict[LinenClass, Agreed] = {}
        self.attempts: dict[LinenClass, dict[object, ClassConversion | Refuse]] = {}

    @property
    def references(self) -> References:
        """Where the project names its classes."""
        return self.result.finder.references

    @cached_property
    def _callers(self) -> Callers:
        return Callers(self.result.finder, self.stated, self.analyses.read)

    def callers(self) -> Callers:
        """What the project knows of the inputs of its classes."""
        return self._callers

    def run(self, wanted: Callable[[LinenClass], bool]) -> Conversions:
        for cls in self.program:
            if wanted(cls):
                try:
                    self.convert(cls)
                except Refuse:
                    continue  # recorded in `refused`
        self._agree()
        return self.result

    def _agree(self) -> None:
        """Write classes again for the sizes that whatever makes them agrees on, holders before what they hold."""
        agreement = Agreement(self.result, self.agreed)
        for name, before in reversed(list(self.result.converted.items())):
            agreed = agreement.of(before)
            if not agreed:
                continue
            self.agreed[before.cls] = agreed
            try:
                after = self._convert(before.cls)
            except Refuse:
                after = before
            if after.sizes == before.sizes and after.functions == before.functions:
                self.result.converted[name] = after
            else:
                del self.agreed[before.cls]

    def convert(self, cls: LinenClass) -> ClassConversion:
        """The conversion of a class. Raises Refuse."""
        if cls.qualified in self.result.converted:
            return self.result.converted[cls.qualified]
        if cls.qualified in self.result.refused:
            raise Refuse("base-not-converted", f"`{cls.name}` was not converted")
        if cls in self.open:
            raise Refuse("recursive-module", f"`{cls.name}` contains itself", cls.node)
        self.open.append(cls)
        try:
            conversion = self._convert(cls)
        except Refuse as refusal:
            detail, line = self._placed(refusal, cls)
            self.result.refused[cls.qualified] = Refusal(cls.qualified, refusal.reason, detail, line)
            raise
        except RecursionError:
            detail = "the code is nested too deeply"
            self.result.refused[cls.qualified] = Refusal(cls.qualified, "budget", detail, cls.node.lineno)
            raise Refuse("budget", detail, cls.node) from None
        finally:
            self.open.pop()
        self.result.converted[cls.qualified] = conversion
        return conversion

    def _placed(self, refusal: Refuse, cls: LinenClass) -> tuple[str, int]:
        """What is said about a class, and a line of its file; a place in another file is part of what is said."""
        project, line = self.analyses.program.project, getattr(refusal.node, "lineno", None)
        detail = readable(refusal.detail)
        if refusal.node is None or line is None or cls.module.parents.get(refusal.node) is not None:
            return detail, line or cls.node.lineno
        loaded = (project.module(path) for path in project.loaded)
        home = next((m for m in loaded if m is not None and m.parents.get(refusal.node) is not None), None)
        if home is None:  # a node that stands for another one of the class
            return detail, line
        return f"{detail} ({home.path.name}:{line})", cls.node.lineno

    def _convert(self, cls: LinenClass) -> ClassConversion:
        analyses = self.analyses
        search = RankSearch(
            cls, self.callers, self._attempt, analyses.read, analyses.meter, self._fixed_fields
        )
        try:
            with analyses.meter.aside():  # what a class takes is no cost of those that hold it
                return search.run()
        finally:
            self.attempts.pop(cls, None)

    def _fixed_fields(self, cls: LinenClass) -> Fixed:
        return fixed_fields(cls, self.program, self.references)

    def _attempt(
        self,
        cls: LinenClass,
        *,
        default_rank: int | None = None,
        known: Mapping[tuple[str | int, ...], int] = MappingProxyType({}),
        fixed: Fixed = MappingProxyType({}),
    ) -> ClassConversion:
        """Convert a class: once for each rank that inputs have by default, or for all where it makes no difference.

        Raises Refuse.
        """
        results = self.attempts.setdefault(cls, {})
        for_any_rank = frozenset(known.items()), tuple(fixed.items())
        for_this = (*for_any_rank, default_rank)
        found = results.get(for_any_rank) or results.get(for_this)
        if found is None:
            refused = len(self.result.refused)
            try:
                found = self._converted(cls, default_rank, known, fixed)
            except Refuse as refusal:
                found = refusal
            if len(self.result.refused) == refused:  # else it would be refused for another reason next time
                depends = self.analyses.asks_default(cls, known, default_rank, fixed)
                results[for_this if depends else for_any_rank] = found
        if isinstance(found, Refuse):
            raise found.with_traceback(None)
        return replace(found)  # for whoever adds to it

    def _converted(
        self,
        cls: LinenClass,
        default_rank: int | None,
        known: Mapping[tuple[str | int, ...], int],
        fixed: Fixed,
    ) -> ClassConversion:
        names = FileNames(cls.module, self.program.project)
        if cls.override is not None:
            return self._derived(cls, cls.override, names)
        if cls.is_subclass_of_layer:
            raise Refuse("unknown-base", f"a subclass of `nn.{cls.is_subclass_of_layer}`", cls.node)
        factories = self.factories.of(cls)
        analysis = self.analyses.to_write(cls, known, default_rank, fixed)
        naming, agreed = self.result.namings.get(cls, Naming.FREELY), self.agreed.get(cls, {})
        written = ClassWriter(
            analysis, names, self.convert, self.factories, self.bridges, naming, agreed
        ).write()
        inner = [self.convert(c) for s in analysis.sites if s.bridged is None for c in s.classes]
        makes_caches = "CachingAttention" in names.helpers or any(v.by_calls for v in analysis.variables)
        makes_caches |= any(c.makes_caches for c in inner)
        conversion = self._checked(cls, written, names, analysis, class_map(analysis))
        conversion.factories, conversion.makes_caches = factories, makes_caches
        conversion.functions, conversion.naming = written.functions, naming
        for node, function in written.functions.items():
            requests = names.requests if function.module is cls.module else function.imports
            imported = {request.binding for request in requests}
            check_function(node, function, imported, cls, self.program.project)
        conversion.is_lazy = any(c.is_lazy for c in inner) or bool(conversion.bridged)
        conversion.sows = any(c.sows for c in inner) or bool(analysis.facts.sown)
        if conversion.is_lazy:
            check_lazy(conversion)
        check_wrappers(conversion, analysis)
        return conversion

    def _derived(
        self, cls: LinenClass, override: ParamOverride | CallOverride, names: FileNames
    ) -> ClassConversion:
        """A class that derives from a layer; only modules may construct it, as they know the layer's sizes."""
        for reference in self.references.outside:
            if reference.cls is cls and reference.role in (Role.CONSTRUCTION, Role.VALUE):
                detail = f"a subclass of `nn.{override.layer}` that is used outside of modules"
                raise Refuse("unknown-base", detail, cls.node)
        written = write_derived(cls, override, names)
        analysis = ClassAnalysis(cls, Facts(), Session(self.program, cls))
        return self._checked(cls, written, names, analysis, layer_map(override.layer))

    def _checked(
        self,
        cls: LinenClass,
        written: WrittenClass,
        names: FileNames,
        analysis: ClassAnalysis,
        entries: ClassMap,
    ) -> ClassConversion:
        """What was written, read once more. Raises Refuse."""
        imported = {request.binding for request in names.requests}
        check_written(cls, written.edits, imported, self.program.project, written.functions, written.making)
        return ClassConversion(
            cls,
            written.sizes,
            written.needs_rngs,
            written.edits,
            frozenset(names.requests),
            frozenset(names.helpers),
            analysis,
            entries,
            written.constructions,
            written.has_constructor,
            open_maxima=written.open_maxima,
        )


def check_lazy(conversion: ClassConversion) -> None:
    """Refuse what the initialisation of Linen modules in NNX ones doesn't cover."""
    cls = conversion.cls
    takes_modules = bool(conversion.factories) or conversion.takes_modules
    for holds, what in (
        (conversion.makes_caches, "makes caches"),
        (conversion.sows, "keeps intermediate values"),
        (takes_modules, "gets modules or their factories"),
    ):
        if holds:
            raise Refuse("base-not-converted", f"`{cls.name}` holds a Linen module, and {what}", cls.node)
