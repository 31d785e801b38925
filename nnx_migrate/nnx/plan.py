"""The plan of a migration: which classes move, in groups with all their uses, and what keeps the others."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.vmapped_classes import misuse, problem, shared_places
from nnx_migrate.linen.programs.hidden.outside_uses import outside_uses
from nnx_migrate.linen.programs.hidden.uses import hidden_uses, neighbours
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.linen.programs.interception import Interception
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.asked_classes import AskedClasses
from nnx_migrate.nnx.conversion import Conversions, convert_project
from nnx_migrate.nnx.forms import Dependencies, Forms
from nnx_migrate.nnx.groups import Blocked, Group
from nnx_migrate.nnx.helpers.placement import imported_helpers
from nnx_migrate.nnx.linen_copies import CopyWriter
from nnx_migrate.nnx.names_as_linen import name_as_linen
from nnx_migrate.nnx.programs.bridges import is_behind_bridge, lazy_obstacles
from nnx_migrate.nnx.programs.constructions import (
    VMAPPED,
)
from nnx_migrate.nnx.programs.crossing_trees import CrossingTrees
from nnx_migrate.nnx.programs.handed_factories import handed_factories, layers_given_to
from nnx_migrate.nnx.programs.kept_values import KeptValue, kept_value
from nnx_migrate.nnx.programs.names import NameChanges
from nnx_migrate.nnx.programs.renames import Other, changes_names
from nnx_migrate.nnx.programs.sizes import SizeFinder
from nnx_migrate.nnx.programs.summed_sizes import clashes
from nnx_migrate.nnx.programs.written_classes import written_classes
from nnx_migrate.nnx.rewritten_functions import RewrittenFunctions
from nnx_migrate.nnx.writer.written import name_of

#: Obstacles that another class's obstacle causes.
_FOLLOWING = frozenset({"base-not-converted", "uses-not-converted"})


def make_plan(
    project: Project,
    root: Path | None = None,
    stated: StatedInputs | None = None,
    bridge: bool = True,
    asked: Sequence[str] = (),
) -> list[Group]:
    """Every Linen class of a project in a group, judged; `root` is the folder that may hold further users.

    `stated` are the shapes of inputs that the configuration gives; `bridge` lets classes that move hold others that
    stay Linen; `asked` are patterns for classes that shall move although code that uses them stays Linen.
    """
    stated = stated or StatedInputs()
    conversions = convert_project(project, stated=stated, bridge=bridge)
    return _Planner(project, conversions, SizeFinder(conversions.program, stated), asked).run(root)


class _Planner:
    """Decides which classes move: what stands in the way of some may only show once others are chosen."""

    def __init__(
        self, project: Project, conversions: Conversions, sizes: SizeFinder, asked: Sequence[str] = ()
    ) -> None:
        self.project, self.conversions, self.sizes = project, conversions, sizes
        self.finder = conversions.finder
        self.functions = RewrittenFunctions(project, conversions)
        replaced = self.functions.replaced()
        self.instances = [i for i in self.finder.known_instances if i.reference.node not in replaced]
        self.values = self.finder.class_values()
        self.made_outside = list(self._made_for_classes())
        together = [*self.functions.together(), *((i.cls, user) for i, user in self.made_outside)]
        self.dependencies = Dependencies(conversions, self.finder, self.instances, together)
        self.copies = CopyWriter(project, self.finder.references)
        self.asked = AskedClasses(self.finder.references, asked)
        self.kept: dict[KeptValue, Blocked] = {}
        inits: dict[ast.AST, LinenClass] = {
            call: instance.cls for instance in self.instances for _, call in instance.inits
        }
        imports = conversions.program.imports
        self.interception = Interception(project, imports)
        self.written = list(written_classes(project))
        self.names = NameChanges(project, self.finder.references, inits, imports)
        self.crossing = CrossingTrees(project, self.finder.references, imports)

    def _made_for_classes(self) -> Iterator[tuple[Instance, LinenClass]]:
        """Modules that the code of classes gets from functions outside of it, with the class."""
        made = (one for value in self.values for one in self.finder.results(value))
        for instance in (*self.instances, *made):
            for module, call in instance.flow.calls:
                user = self.finder.references.enclosing_class(module, call)
                if user is not None and user is not instance.cls:
                    yield instance, user

    def run(self, root: Path | None) -> list[Group]:
        """The plan; where classes are asked for that would stay, a second one in which programs keep their copies."""
        groups = self._run(root)
        if not self.asked.take(group.classes for group in groups if not group.can_move):
            return groups
        around = self.asked.around
        self.instances = [i for i in self.instances if i.cls not in around]
        self.values = [v for v in self.values if v.cls not in around]
        self.copies.kept += self.asked.kept
        again = self._run(root)
        return again if _moved(groups) <= _moved(again) else groups

    def _run(self, root: Path | None) -> list[Group]:
        blocked = [*self._of_classes(), *self._of_uses(), *self._of_unseen_uses(root)]
        unshared: dict[LinenClass, Obstacle] = {}
        while True:
            kept = {reference for value in self.copies.kept for reference in value.references}
            stuck = {cls for cls, _ in blocked}
            forms = self.dependencies.forms(stuck, unshared, kept, self.asked.wanted)
            moving = [self._group(part, True) for part in self.dependencies.components(forms.moving)]
            more = {c: o for c in forms.copied if (o := self._not_copied(c, forms.copied)) is not None}
            unshared |= more
            if more:
                continue
            for group in moving:
                group.made = [made for value in group.values for made in self.finder.results(value)]
                _find_sizes(group, self.sizes, self.project)
                known = {c.cls: c for c in group.conversions}
                handed = [made for made in group.made if made.holders]
                group.obstacles += lazy_obstacles(known, [*group.instances, *handed], group.values)
                self._find_factories(group)
            if len(kept) < len({r for value in self.copies.kept for r in value.references}):
                continue
            blocked += (found := [item for group in moving for item in group.obstacles])
            if found:
                continue
            staying = self._staying(forms, [*blocked, *unshared.items(), *self.kept.values()])
            found = self._find_names(moving, staying, forms.copied)
            if not found:
                for group in moving:
                    group.copies = self.copies.copies(group.classes, forms.copied)
                return [*moving, *staying]
            concerned = {cls for cls, _ in found}
            named = [g.classes for g in moving if concerned & set(g.classes)]
            # modules may have Linen's names instead, for code that can't be told the new ones
            kept_names = [classes for classes in named if name_as_linen(self.conversions, classes)]
            if not kept_names:
                blocked += found

    def _not_copied(
        self, cls: LinenClass, copied: Mapping[LinenClass, Sequence[LinenClass]]
    ) -> Obstacle | None:
        """Why a class can't stay in its Linen form, too."""
        functions = self.conversions.converted[cls.qualified].functions
        if functions:
            name = name_of(next(iter(functions)))
            what = f"classes that stay Linen need `{cls.name}` in its Linen form, but `{name}` changes"
            return Obstacle("uses-not-converted", what, cls.module, cls.node)
        kept = {reference for value in self.copies.kept for reference in value.references}
        for made, user in self.made_outside:
            if made.cls is cls and made.reference not in kept and user in {*copied, *copied[cls]}:
                what = f"`{user.name}` is needed in its Linen form, and a function makes its `{cls.name}`"
                return Obstacle("uses-not-converted", what, made.reference.module, made.reference.node)
        for reference in self.finder.compared:  # modules of its Linen form aren't instances of it
            if reference.cls in cls.mro:
                what = f"classes that stay Linen need `{cls.name}` in its Linen form, and `isinstance` asks for it"
                return Obstacle("uses-not-converted", what, reference.module, reference.node)
        return self.copies.obstacle(cls, copied)

    def _group(self, classes: list[LinenClass], can_move: bool) -> Group:
        group = Group(classes, can_move)
        converted = self.conversions.converted
        group.conversions = [converted[c.qualified] for c in classes if c.qualified in converted]
        group.instances = [i for i in self.instances if i.cls in classes]
        kept = {value.value for value in self.kept}
        group.values = [v for v in self.values if v.cls in classes and v not in kept]
        return group

    def _staying(self, forms: Forms, blocked: list[Blocked]) -> list[Group]:
        """The classes that stay, with what stands in their way."""
        rest = [cls for cls in self.finder.program if cls not in forms.moving]
        groups = [self._group(part, False) for part in self.dependencies.components(rest)]
        of_class = {cls: group for group in groups for cls in group.classes}
        converted = self.conversions.converted
        held = {c for cls in forms.moving for c in converted[cls.qualified].bridged}
        held.update(r.cls for r in self.finder.references.outside if is_behind_bridge(self.project, r))
        for group in groups:
            group.bridged = frozenset(held & set(group.classes))
        for cls, obstacle in blocked:
            if cls in of_class:
                of_class[cls].obstacles.append((cls, obstacle))
        for cls, group in of_class.items():
            if (cause := self._cause(cls, group)) is not None:
                group.causes[cls] = cause
        return groups

    def _cause(self, cls: LinenClass, group: Group) -> Blocked | None:
        """The first obstacle of a class, else of the nearest class that it needs or that needs it."""
        own = dict(reversed(group.obstacles))
        if cls in own:
            return cls, own[cls]
        own = {c: o for c, o in own.items() if o.reason not in _FOLLOWING}
        for step in (self.dependencies.needs.__getitem__, self.dependencies.neighbours):
            near, seen = [cls], {cls}
            for other in near:  # grows: breadth first
                if other in own:
                    return other, own[other]
                near += (new := [c for c in group.classes if c in step(other) and c not in seen])
                seen.update(new)
        if cls.qualified in self.conversions.converted:
            detail = "nothing in the project uses it, and classes beside it stay Linen"
            return cls, Obstacle("uses-not-converted", detail, cls.module, cls.node)
        return None

    def _of_classes(self) -> Iterator[Blocked]:
        """Classes that were not converted."""
        for cls in self.finder.program:
            if cls.qualified not in self.conversions.converted:
                refusal = self.conversions.refused.get(cls.qualified)
                reason = refusal.reason if refusal else "base-not-converted"
                place = ast.Pass(lineno=refusal.line) if refusal and refusal.line else cls.node
                yield cls, Obstacle(reason, refusal.detail if refusal else "", cls.module, place)

    def _of_uses(self) -> Iterator[Blocked]:
        """Uses in programs that can't be rewritten."""
        yield from (found for found in self.finder.other_obstacles() if found[0] not in self.asked.around)
        yield from self.asked.obstacles()
        yield from self.functions.obstacles()
        for reference in self.finder.references.unclear:
            assigned = isinstance(getattr(reference.node, "ctx", None), ast.Store)
            what = "assignment" if assigned else "import"
            detail = f"one {what} of `{ast.unparse(reference.node)}` means it, another one something else"
            yield reference.cls, Obstacle("class-as-value", detail, reference.module, reference.node)
        for value in self.values:
            if value.problem:
                where = value.reference
                yield value.cls, Obstacle("class-as-value", value.problem, where.module, where.node)
            results = self.finder.results(value)
            yield from self.interception.obstacles(results)
            for result in results:
                yield from ((result.cls, obstacle) for obstacle in result.obstacles)
                yield from self._of_calls(result)
                if value.flow.vmapped and (what := misuse(result)):
                    where = value.reference
                    yield value.cls, Obstacle("module-use", what, where.module, where.node)
        yield from self._of_vmapped()
        yield from self.interception.obstacles(self.instances)
        for instance in self.instances:
            yield from ((instance.cls, obstacle) for obstacle in instance.obstacles)
            yield from self._of_calls(instance)

    def _of_calls(self, instance: Instance) -> Iterator[Blocked]:
        """Calls without variables of modules that have some."""
        conversion = self.conversions.converted.get(instance.cls.qualified)
        if instance.called and not (conversion is not None and conversion.is_stateless):
            module, call = instance.called[0]
            yield instance.cls, Obstacle("module-use", "it is called outside of `apply`", module, call)

    def _of_vmapped(self) -> Iterator[Blocked]:
        """Calls of `nn.vmap` that can't be rewritten."""
        for (module, call), values in shared_places([*self.values, *self.finder.handed_classes()]).items():
            what = problem(self.finder.finder, (module, call), values)
            if VMAPPED in module.scopes.module.bindings and not what:
                known = [name for _, name in imported_helpers(module, self.project)]
                what = "" if VMAPPED in known else "the file has a `vmapped` of its own"
            if what:
                yield from ((v.cls, Obstacle("class-as-value", what, module, call)) for v in values)

    def _of_unseen_uses(self, root: Path | None) -> list[Blocked]:
        """Uses that nothing can rewrite: by text, by `getattr`, in files that were not given."""
        program, references = self.finder.program, self.finder.references
        unseen = list(hidden_uses(self.finder.finder, program, self.finder.dynamic))
        if root is not None:
            by_name = any(read.may_choose is not None for read in self.finder.dynamic)
            unseen += outside_uses(self.project, program, root.absolute(), by_name)
        used = {reference.cls for reference in (*references.inside, *references.outside)}
        return [*unseen, *neighbours(unseen, program, used)]

    def _find_factories(self, group: Group) -> None:
        """What programs give as factories of layers, as edits; what gives one that NNX lacks keeps the Linen form."""
        known = {c.cls: c for c in group.conversions}
        for value in group.values:
            found = layers_given_to(value, known[value.cls], self.finder.finder)
            if found is None:
                continue
            detail = f"a factory of layers is given to `{value.cls.name}`, which is used as a value"
            place = Obstacle("class-as-value", detail, *found)
            is_own = found[1] is value.reference.module.parents[value.reference.node]
            kept = kept_value(value, self.finder) if is_own else None
            if kept is not None:
                self.kept[kept] = (value.cls, place)
                self.copies.kept.append(kept)
            else:
                group.obstacles.append((value.cls, place))
        for instance in group.instances:
            module = instance.reference.module
            try:
                group.handed.append(handed_factories(instance, known, self.conversions))
            except Refuse as refusal:
                node = refusal.node or instance.reference.node
                obstacle = Obstacle(refusal.reason, refusal.detail, module, node)
                group.obstacles.append((instance.cls, obstacle))

    def _find_names(
        self,
        moving: Sequence[Group],
        staying: Sequence[Group],
        copied: Mapping[LinenClass, Sequence[LinenClass]],
    ) -> list[Blocked]:
        """What becomes of names of parameters; the classes for which that can't be told."""
        renamed = {c.cls for group in moving for c in group.conversions if changes_names(c)}
        found: list[Blocked] = list(self.crossing.obstacles(copied, renamed, self.dependencies.parts))
        of_copies = [Other(cls, None) for cls in copied]
        for group in moving:
            others = [o for g in (*moving, *staying) if g is not group for o in g.as_others()]
            # programs know the classes that are asked for in their Linen form
            used = [c for c in group.conversions if c.cls not in self.asked.around]
            if not used:
                continue
            names = self.names.of(used, [*others, *of_copies, *self.written])
            group.names, group.counting = names.edits, names.counting
            found += [(cls, obstacle) for cls in group.classes for obstacle in names.obstacles]
        return found


def _moved(groups: Sequence[Group]) -> set[LinenClass]:
    return {cls for group in groups if group.can_move for cls in group.classes}


def _find_sizes(group: Group, finder: SizeFinder, project: Project) -> None:
    conversions = {c.qualified: c for c in group.conversions}
    for value in group.values:
        sizes = conversions[value.cls.qualified].sizes
        if any(s.method != "__call__" or s.optional or s.listed is not None for s in sizes):
            where = value.reference
            detail = f"sizes of `{value.cls.name}` that only a method shows, or its fields"
            group.obstacles.append((value.cls, Obstacle("unknown-size", detail, where.module, where.node)))
    for reference in [*(i.reference for i in group.instances), *(v.reference for v in group.values)]:
        file, helper = reference.module, group.helper_of(reference)
        if helper in file.scopes.module.bindings and all(
            name != helper for _, name in imported_helpers(file, project)
        ):
            detail = f"the file has a `{helper}` of its own"
            group.obstacles.append((reference.cls, Obstacle("name-clash", detail, file, reference.node)))
    group.obstacles += group.sharing()
    for instance in (*group.instances, *group.made):
        if instance.holders and any(f.flag for f in conversions[instance.cls.qualified].factories.values()):
            where = instance.reference
            detail = f"`{instance.cls.name}`, which NNX calls in another way, is called by another module"
            group.obstacles.append((instance.cls, Obstacle("unknown-call", detail, where.module, where.node)))
        try:
            if instance.made_by is None:
                group.sizes[instance] = finder.find(instance, conversions[instance.cls.qualified])
            elif instance.holders:
                finder.check_late(instance, conversions[instance.cls.qualified])
        except Refuse as refusal:
            node = refusal.node or instance.reference.node
            obstacle = Obstacle(refusal.reason, refusal.detail, instance.reference.module, node)
            group.obstacles.append((instance.cls, obstacle))
    group.obstacles += clashes(group, project)
