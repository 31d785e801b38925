"""Training programs in the form that a maintainer of Flax would write them: the entry point.

A program is taken where every use of its modules, variables and states is of the usual shape. What isn't stays
a program of functions (see `constructions`), so nothing is lost by being strict.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nnx_migrate.engine.context import PREFERRED_IMPORTS
from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind
from nnx_migrate.nnx.groups import Group
from nnx_migrate.nnx.programs.idiomatic.checker import Checker
from nnx_migrate.nnx.programs.idiomatic.construction import Constructions
from nnx_migrate.nnx.programs.idiomatic.expressions import Expressions
from nnx_migrate.nnx.programs.idiomatic.kinds import Facts, Kind, NotIdiomatic
from nnx_migrate.nnx.programs.idiomatic.naming import Naming
from nnx_migrate.nnx.programs.idiomatic.statements import Statements
from nnx_migrate.nnx.programs.idiomatic.tracker import Tracker
from nnx_migrate.nnx.writer.text import without_double_gaps
from nnx_migrate.sources.text import Edit

_NNX = "flax.nnx"
# Modules that keep more than parameters and statistics, or that change in a way of their own.
_UNUSUAL = re.compile(
    r"\b(?:sow|perturb|make_rng|is_mutable_collection|SpectralNorm|WeightNorm|has_rng|with_(?:logical_)?partitioning)\b"
)
# Methods that have the module's variables as arguments.
_APPLIES = re.compile(r"\bself\.(?:apply|init|init_with_output)\b")
_STATISTICS = re.compile(r"\b(?:BatchNorm|batch_stats)\b")
# Optimizers that look into the tree of parameters, which has another form.
_BY_TREE = re.compile(
    r"optax\.(?:.*\.)?(?:masked|multi_transform|partition|freeze|GradientTransformation\w*)"
)


@dataclass
class Program:
    """The edits that make a program idiomatic, and the modules that it makes."""

    instances: list[Instance]
    edits: list[tuple[Module, Edit]] = field(default_factory=list)
    imports: list[tuple[Module, ImportRequest]] = field(default_factory=list)


def idiomatic_programs(
    index: ProjectIndex,
    group: Group,
    others: Sequence[tuple[Module, Edit]],
    why: list[NotIdiomatic] | None = None,
) -> list[Program]:
    """The programs around a group's classes that can be written in the idiomatic form.

    `others` are edits of the group that stay, `why` collects the reasons for what isn't taken.
    """
    found: list[Program] = []
    for instance in group.instances:
        taken = [*others, *_rewritten(group, instance), *(e for program in found for e in program.edits)]
        try:
            found.append(_Writer(index, group, [instance]).write(taken))
        except NotIdiomatic as reason:
            if why is not None:
                why.append(reason)
    return found


def _rewritten(group: Group, instance: Instance) -> Iterator[tuple[Module, Edit]]:
    """What the group's other modules and classes change in programs; the new text doesn't matter."""
    places: list[tuple[Module, ast.AST]] = [(v.reference.module, v.reference.node) for v in group.values]
    for other in group.instances:
        if other is not instance:
            places.append((other.reference.module, other.reference.call))
            places += [*other.applied, *other.tabulated, *other.asked]
    for module, node in places:
        yield module, Edit(*module.source.span(node), "")


class _Writer:
    """One program."""

    def __init__(self, index: ProjectIndex, group: Group, instances: list[Instance]) -> None:
        self.index, self.group, self.instances = index, group, instances
        self.conversions = {c.qualified: c for c in group.conversions}
        self.result = Program(instances)

    def write(self, others: Sequence[tuple[Module, Edit]]) -> Program:
        """The program's edits. Raises NotIdiomatic."""
        for instance in self.instances:
            self._check_instance(instance)
        tracker = Tracker(self.index)
        facts = tracker.run((i.reference.module, i.reference.call) for i in self.instances)
        self._check_shape(facts)
        Checker(facts, tracker.functions.qualified, self._has_statistics(facts)).check()
        expressions = Expressions(facts, Naming(facts), self._nnx, tracker.functions.qualified)
        statements = Statements(facts, expressions)
        has_keys = any(apply.keys is not None for apply in facts.applies)
        constructions = Constructions(expressions, has_keys)
        for instance in self.instances:
            conversion = self.conversions[instance.cls.qualified]
            made = constructions.write(instance, conversion, self.group.sizes[instance])
            module, call = instance.reference.module, instance.reference.call
            if made.at is None:
                expressions.constructed[call] = made.text
                continue
            statements.moved[module.statement_of(call)] = []
            if made.in_front:
                statements.before[made.at] = made.text
            else:
                statements.moved[made.at] = [made.text]
        edits = [*statements.edits(), *self._state_classes(facts)]
        by_module: dict[Module, list[Edit]] = {}
        for module, edit in edits:
            by_module.setdefault(module, []).append(edit)
        for module, own in by_module.items():
            self._check_overlaps(module, own, [e for m, e in others if m is module])
            self.result.edits += [(module, e) for e in without_double_gaps(module.source, own)]
        return self.result

    def _has_statistics(self, facts: Facts) -> bool:
        """Whether the model may have batch statistics: they show where it is, and where it is trained."""
        files = {c.cls.module for c in self.group.conversions} | set(facts.places.values())
        if any(kind is Kind.VARIABLES for kinds in facts.names.values() for kind in kinds.values()):
            files |= set(self.index.project.modules())
        return any(_STATISTICS.search(module.source.text) for module in files)

    def _check_instance(self, instance: Instance) -> None:
        module, call = instance.reference.module, instance.reference.call
        unusual = (
            instance.made_by or instance.holders or instance.tabulated or instance.applied or instance.asked
        )
        inner = [i for i in (*self.group.instances, *self.group.made) if instance in i.holders]
        if unusual or inner or instance.clones:
            raise NotIdiomatic("an unusual use of the module", module, call)
        for conversion in self.group.conversions:
            text = conversion.cls.module.source.segment(conversion.cls.node)
            if _UNUSUAL.search(text) or conversion.makes_caches:
                raise NotIdiomatic(f"`{conversion.cls.name}` keeps more than parameters", module, call)
            if _APPLIES.search(text):
                raise NotIdiomatic(f"methods of `{conversion.cls.name}` apply it", module, call)
            if conversion.is_lazy:
                raise NotIdiomatic(f"`{conversion.cls.name}` holds Linen modules", module, call)
            variables = conversion.analysis.variables if conversion.analysis is not None else ()
            if any(v.collection not in ("params", "batch_stats") for v in variables):
                raise NotIdiomatic(f"`{conversion.cls.name}` keeps more than parameters", module, call)

    def _check_shape(self, facts: Facts) -> None:
        """The program trains with a state, and its optimizer doesn't ask for names."""
        (first, *_) = self.instances
        place = first.reference.module, first.reference.call
        if not (facts.creations or facts.optimizers) or not facts.applies:
            raise NotIdiomatic("no optimizer", *place)
        for module in self.index.project.mentioning("optax"):
            for call in module.nodes(ast.Call):
                name = self.index.project.resolve(call.func, module.scope_at(call), module) or ""
                masked = name.startswith("optax.") and any("mask" in (k.arg or "") for k in call.keywords)
                if masked or _BY_TREE.fullmatch(name):
                    raise NotIdiomatic("an optimizer that looks at names", module, call)

    def _nnx(self, module: Module) -> str:
        """The name of `flax.nnx` in a file."""
        request = PREFERRED_IMPORTS[_NNX]
        local = module.scopes.imported.get(_NNX, [])
        if local:
            return local[0]
        for scope in module.scopes.all_scopes():
            for binding in scope.bindings.get(request.binding, ()):
                if binding.kind is not BindingKind.IMPORT or binding.target != _NNX:
                    raise NotIdiomatic("`nnx` means something else", module, module.tree)
        if (module, request) not in self.result.imports:
            self.result.imports.append((module, request))
        return request.binding

    def _state_classes(self, facts: Facts) -> Iterator[tuple[Module, Edit]]:
        """Subclasses of `TrainState` that nothing names any more."""
        for node in {c.state_class for c in facts.creations if c.state_class is not None}:
            module = next(m for m in self.index.project.modules() if node in m.scopes.of_node)
            scope, source = module.scope_at(node), module.source
            start, end = source.line_start(node.lineno), source.text.find("\n", source.span(node)[1]) + 1
            end = end or len(source.text)
            if "#" in source.text[start:end] or not scope.is_module:
                raise NotIdiomatic("comments in a class of states", module, node)
            for where, read in self.index.all_reads(module, scope, node.name):
                if not self._is_rewritten(facts, where, read):
                    raise NotIdiomatic(f"`{node.name}` is used otherwise", where, read)
            behind = source.text[end:]
            blank = len(behind) - len(behind.lstrip("\r\n"))  # as many lines as stand in front of it
            yield module, Edit(start, end + blank, "")

    @staticmethod
    def _is_rewritten(facts: Facts, module: Module, read: ast.AST) -> bool:
        """Whether a name of a class of states stands where it is replaced: a creation or an annotation."""
        current: ast.AST | None = read
        while current is not None and not isinstance(current, ast.stmt):
            if any(creation.call is current for creation in facts.creations):
                return True
            if isinstance(current, ast.arg):
                function = facts.function_of(module.parents[module.parents[current]])
                return function is not None and current.arg in function.params
            current = module.parents.get(current)
        function = facts.function_of(current)
        return function is not None and bool(function.results)

    @staticmethod
    def _check_overlaps(module: Module, own: Sequence[Edit], others: Iterable[Edit]) -> None:
        for other in others:
            for edit in own:
                if edit.start < other.end and other.start < edit.end:
                    raise NotIdiomatic("other changes at the same place", module, module.tree)
