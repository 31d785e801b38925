"""The plan of a migration: classes with all their uses, in groups that move together or not at all."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnx_migrate.linen.model import LinenClass
from nnx_migrate.linen.programs.class_values import ClassValue
from nnx_migrate.linen.programs.hidden_uses import hidden_uses, neighbours
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.linen.programs.outside_uses import outside_uses
from nnx_migrate.linen.programs.sample_inputs import SampleInputs
from nnx_migrate.linen.programs.stated_inputs import StatedInputs
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import FieldModule
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import ClassConversion, Conversions, convert_project
from nnx_migrate.nnx.helpers.placement import imported_helpers
from nnx_migrate.nnx.programs.constructions import CACHING_HELPER, HELPER
from nnx_migrate.nnx.programs.handed_factories import HandedFactories, handed_factories, layers_given_to
from nnx_migrate.nnx.programs.names import NameChanges
from nnx_migrate.nnx.programs.renames import Other
from nnx_migrate.nnx.programs.sizes import SizeFinder, Sizes
from nnx_migrate.sources.text import Edit


@dataclass
class Group:
    """Classes that depend on each other, and the modules that programs make of them."""

    classes: list[LinenClass]
    conversions: list[ClassConversion] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    values: list[ClassValue] = field(default_factory=list)
    sizes: dict[Instance, Sizes] = field(default_factory=dict)
    obstacles: list[tuple[LinenClass, Obstacle]] = field(default_factory=list)
    names: list[tuple[Module, Edit]] = field(default_factory=list)
    handed: list[HandedFactories] = field(default_factory=list)

    @property
    def can_move(self) -> bool:
        """Whether everything in the group can be converted."""
        return not self.obstacles

    def helper(self, cls: LinenClass) -> str:
        """The helper that programs use a class by: one that makes caches is called in its initialisation, too."""
        (conversion,) = [c for c in self.conversions if c.qualified == cls.qualified]
        fields = conversion.analysis.session.fields.values() if conversion.analysis is not None else ()
        may_hold = any(isinstance(value, FieldModule) for value in fields)
        caching = any(c.makes_caches for c in ([conversion] if not may_hold else self.conversions))
        return CACHING_HELPER if caching else HELPER

    def as_others(self) -> list[Other]:
        """Its classes as the names of parameters in other groups see them."""
        conversions = {c.qualified: c for c in self.conversions} if self.can_move else {}
        return [Other(cls, conversions.get(cls.qualified)) for cls in self.classes]


def make_plan(project: Project, root: Path | None = None, stated: StatedInputs | None = None) -> list[Group]:
    """Every group of Linen classes of a project, judged; `root` is the folder that may hold further users.

    `stated` are the shapes of inputs that the configuration gives.
    """
    stated = stated or StatedInputs()
    conversions = convert_project(project, stated=stated)
    finder = conversions.finder
    instances = finder.known_instances
    groups = _groups(conversions, finder, instances)
    unseen = list(hidden_uses(project, finder.program, finder.dynamic))
    if root is not None:
        unseen += outside_uses(project, finder.program, root.absolute())
    used = {reference.cls for reference in (*finder.references.inside, *finder.references.outside)}
    unseen += neighbours(unseen, finder.program, used)
    _judge(conversions, finder, instances, groups, unseen)
    sizes = SizeFinder(SampleInputs(project), stated)
    for group in groups:
        if group.can_move:
            _find_sizes(group, sizes)
            _find_factories(group, conversions)
    _find_names(groups, NameChanges(project, finder.references))
    return groups


def _find_names(groups: Sequence[Group], names: NameChanges) -> None:
    """What becomes of names of parameters; once more for all where one group has to stay after all."""
    while True:
        moving = [group for group in groups if group.can_move]
        for group in moving:
            found = names.of(group.conversions, [o for g in groups if g is not group for o in g.as_others()])
            group.names = found.edits
            group.obstacles += [(group.classes[0], obstacle) for obstacle in found.obstacles]
        if all(group.can_move for group in moving):
            return


def _groups(conversions: Conversions, finder: InstanceFinder, instances: Iterable[Instance]) -> list[Group]:
    """Classes connected by inheritance, by construction, or by being handed to each other."""
    parent: dict[LinenClass, LinenClass] = {cls: cls for cls in finder.program}

    def root(cls: LinenClass) -> LinenClass:
        while parent[cls] is not cls:
            cls = parent[cls]
        return cls

    def join(a: LinenClass, b: LinenClass) -> None:
        if a in parent and b in parent:
            parent[root(a)] = root(b)

    bodies = {cls.node: cls for cls in finder.program}
    for cls in finder.program:
        for base in cls.mro[1:]:
            join(cls, base)
        for made in conversions.factories.classes_made_by(cls):
            join(cls, made)
    for reference in [*finder.references.inside, *finder.references.outside]:
        owner = reference.module.parents.get(reference.node)
        while owner is not None:
            if isinstance(owner, ast.ClassDef) and owner in bodies:
                join(bodies[owner], reference.cls)
                break
            if isinstance(owner, ast.Call):  # Wrapper(backbone=ResNet())
                called = finder.references.class_called(reference.module, owner)
                if called is not None:
                    join(called, reference.cls)
            owner = reference.module.parents.get(owner)
    for instance in instances:
        for holder in finder.holders(instance):
            join(holder, instance.cls)
    for value in finder.handed_classes():
        for module, call in value.calls:
            maker = finder.references.enclosing_class(module, call)
            if maker is not None:
                join(maker, value.cls)
    by_root: dict[LinenClass, list[LinenClass]] = {}
    for cls in finder.program:
        by_root.setdefault(root(cls), []).append(cls)
    return [Group(classes) for classes in by_root.values()]


def _judge(
    conversions: Conversions,
    finder: InstanceFinder,
    instances: Iterable[Instance],
    groups: Iterable[Group],
    unseen: Iterable[tuple[LinenClass, Obstacle]],
) -> None:
    of_class = {cls: group for group in groups for cls in group.classes}
    for cls, group in of_class.items():
        if cls.qualified in conversions.converted:
            group.conversions.append(conversions.converted[cls.qualified])
        else:
            refusal = conversions.refused.get(cls.qualified)
            reason = refusal.reason if refusal else "base-not-converted"
            place = ast.Pass(lineno=refusal.line) if refusal and refusal.line else cls.node
            detail = refusal.detail if refusal else ""
            group.obstacles.append((cls, Obstacle(reason, detail, cls.module, place)))
    for cls, obstacle in [*finder.other_obstacles(), *unseen]:
        of_class[cls].obstacles.append((cls, obstacle))
    for value in finder.class_values():
        group = of_class[value.cls]
        group.values.append(value)
        if value.problem:
            where = value.reference
            group.obstacles.append(
                (value.cls, Obstacle("class-as-value", value.problem, where.module, where.node))
            )
        for result in finder.results(value):
            group.obstacles += [(result.cls, obstacle) for obstacle in result.obstacles]
    for instance in instances:
        group = of_class[instance.cls]
        group.instances.append(instance)
        group.obstacles += [(instance.cls, obstacle) for obstacle in instance.obstacles]


def _find_factories(group: Group, conversions: Conversions) -> None:
    """What programs give as factories of layers, as edits."""
    known = {c.cls: c for c in group.conversions}
    for value in group.values:
        call = layers_given_to(value, known[value.cls])
        if call is not None:
            detail = f"a factory of layers is given to `{value.cls.name}`, which is used as a value"
            place = Obstacle("class-as-value", detail, value.reference.module, call)
            group.obstacles.append((value.cls, place))
    for instance in group.instances:
        module = instance.reference.module
        try:
            group.handed.append(handed_factories(instance, known, conversions))
        except Refuse as refusal:
            place = Obstacle(refusal.reason, refusal.detail, module, refusal.node or instance.reference.node)
            group.obstacles.append((instance.cls, place))


def _find_sizes(group: Group, finder: SizeFinder) -> None:
    conversions = {c.qualified: c for c in group.conversions}
    for value in group.values:
        if any(s.method != "__call__" or s.optional for s in conversions[value.cls.qualified].sizes):
            where = value.reference
            detail = f"sizes of `{value.cls.name}` that only a method shows"
            group.obstacles.append((value.cls, Obstacle("unknown-size", detail, where.module, where.node)))
    for reference in [*(i.reference for i in group.instances), *(v.reference for v in group.values)]:
        file, helper = reference.module, group.helper(reference.cls)
        if helper in file.scopes.module.bindings and helper not in imported_helpers(file):
            detail = f"the file has a `{helper}` of its own"
            group.obstacles.append((reference.cls, Obstacle("name-clash", detail, file, reference.node)))
    for instance in group.instances:
        if instance.holders and any(f.flag for f in conversions[instance.cls.qualified].factories.values()):
            where = instance.reference
            detail = f"`{instance.cls.name}`, which NNX calls in another way, is called by another module"
            group.obstacles.append((instance.cls, Obstacle("unknown-call", detail, where.module, where.node)))
        try:
            group.sizes[instance] = finder.find(instance, conversions[instance.cls.qualified])
        except Refuse as refusal:
            node = refusal.node or instance.reference.node
            obstacle = Obstacle(refusal.reason, refusal.detail, instance.reference.module, node)
            group.obstacles.append((instance.cls, obstacle))
