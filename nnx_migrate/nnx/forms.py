"""Which form every class takes: NNX, Linen, or both where classes that stay Linen share it with ones that move.

A class can move if it converts, nothing stands in the way of its uses, and all classes that it needs move, too.
It does move if something would use its NNX form: a program, another class that moves, or whoever imports it where
the project itself has no use for it, unless as much is needed twice for it as becomes NNX. Tests alone are no such
use: they would test what only they use.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference, Role
from nnx_migrate.linen.programs.constructions.vmapped_classes import shared_places
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.names.parents import Parents
from nnx_migrate.nnx.conversion import Conversions


@dataclass(frozen=True)
class Forms:
    """The classes that move to NNX, and those of them whose Linen form is needed besides, each with its users."""

    moving: frozenset[LinenClass]
    copied: dict[LinenClass, list[LinenClass]] = field(default_factory=dict)


class Dependencies:
    """Which classes need which others in their own form.

    `needs` maps a class to its bases and to what it creates. Classes between which programs hand modules or
    factories need each other: what is handed has one form.
    """

    def __init__(
        self,
        conversions: Conversions,
        finder: InstanceFinder,
        instances: Iterable[Instance],
        together: Iterable[tuple[LinenClass, LinenClass]] = (),
    ) -> None:
        """`together` are pairs of classes that need each other for some other reason."""
        self.needs: dict[LinenClass, set[LinenClass]] = {cls: set() for cls in finder.program}
        self._users: dict[LinenClass, set[LinenClass]] = {cls: set() for cls in finder.program}
        self._find_own(conversions, finder)
        self._find_handed(finder, instances)
        own_users = {cls: set(users) for cls, users in self._users.items()}
        for first, second in together:
            self._join(first, second)
        self._used_by = own_users  # without classes that only share something
        self._in_programs = [r for r in finder.references.outside if not _is_mention(r)]
        self._named = {cls: set(cls.mro[1:]) for cls in finder.program}
        for reference in finder.references.inside:
            within = finder.references.enclosing_class(reference.module, reference.node)
            if within is not None:
                self._named[within].add(reference.cls)

    def _find_own(self, conversions: Conversions, finder: InstanceFinder) -> None:
        bridged: dict[LinenClass, Collection[LinenClass]] = {}
        for cls in finder.program:
            made = conversions.factories.classes_made_by(cls)
            bridged[cls] = _bridged(conversions, cls)
            for other in (*cls.mro[1:], *made, *_constructed(conversions, cls)):
                if other not in bridged[cls]:
                    self._need(cls, other)
        references = finder.references
        for reference in (*references.inside, *references.outside):
            for owner in _around(reference.module.parents, reference.node):
                if isinstance(owner, ast.ClassDef):
                    within = references.enclosing_class(reference.module, reference.node)
                    if within is not None:
                        if reference.cls not in bridged[within]:
                            self._need(within, reference.cls)
                        break
                elif isinstance(owner, ast.Call):  # Wrapper(backbone=ResNet())
                    called = references.class_called(reference.module, owner)
                    if called is not None and not references.in_linen_class(reference.module, owner):
                        self._join(called, reference.cls)

    def _find_handed(self, finder: InstanceFinder, instances: Iterable[Instance]) -> None:
        made = [one for value in finder.class_values() for one in finder.results(value)]
        for instance in (*instances, *made):
            for holder in finder.holders(instance.flow):
                self._join(holder, instance.cls)
        for values in shared_places(finder.class_values()).values():
            for value in values:
                self._join(values[0].cls, value.cls)
        references = finder.references
        for value in finder.handed_classes():
            makers = [references.enclosing_class(module, call) for module, call in value.calls]
            # whoever is handed it may construct it in a way that isn't seen
            for other in (*makers, *finder.holders(value.flow)):
                if other is not None:
                    self._join(other, value.cls)

    def _need(self, cls: LinenClass, other: LinenClass) -> None:
        if cls is not other and cls in self.needs and other in self.needs:
            self.needs[cls].add(other)
            self._users[other].add(cls)

    def _join(self, a: LinenClass, b: LinenClass) -> None:
        self._need(a, b)
        self._need(b, a)

    def neighbours(self, cls: LinenClass) -> set[LinenClass]:
        """The classes that need a class and those that it needs."""
        return self.needs[cls] | self._users[cls]

    def parts(self, cls: LinenClass) -> set[LinenClass]:
        """A class with all that it needs."""
        return self._closure([cls])

    def users(self, cls: LinenClass) -> set[LinenClass]:
        """The classes that need a class."""
        return self._users[cls]

    def forms(
        self,
        stuck: Collection[LinenClass],
        unshared: Collection[LinenClass] = (),
        kept: Collection[ClassReference] = (),
        wanted: Collection[LinenClass] = (),
    ) -> Forms:
        """The forms of all classes if those in `stuck` stay Linen and those in `unshared` can't have two forms.

        `kept` are the references of programs that go on with the Linen form, `wanted` the classes whose NNX form is
        used, whatever the project does.
        """
        able = {cls for cls in self.needs if cls not in stuck}
        while True:
            self._drop(able, {cls for cls in able if not self.needs[cls] <= able})
            moving = self._wanted(able, kept, wanted)
            copied = self._copied(moving, kept)
            if not (blocked := {cls for cls in copied if cls in unshared}):
                return Forms(frozenset(moving), copied)
            self._drop(able, blocked)

    def _drop(self, able: set[LinenClass], classes: Iterable[LinenClass]) -> None:
        """Take classes out, with all that need them."""
        waiting = list(classes)
        while waiting:
            cls = waiting.pop()
            if cls in able:
                able.remove(cls)
                waiting += self._users[cls]

    def _wanted(
        self, able: Collection[LinenClass], kept: Collection[ClassReference], wanted: Collection[LinenClass]
    ) -> set[LinenClass]:
        """The classes that something would use in their NNX form."""
        used = {r.cls for r in self._in_programs if r not in kept and not self._is_for_users(r)}
        used.update(wanted)
        only_kept = {r.cls for r in kept} - used
        moving = self._closure(c for c in able if c in used) & set(able)
        unused = [c for c in able if c not in used and not (self._used_by[c] or c in only_kept)]
        return self._with_unused(moving, unused, able)

    def _with_unused(
        self, moving: set[LinenClass], unused: Iterable[LinenClass], able: Collection[LinenClass]
    ) -> set[LinenClass]:
        """With classes that nothing in the project uses, where more becomes NNX than is needed twice for them."""
        staying = self._closure(cls for cls in self.needs if cls not in able)
        parts = {cls: self._closure([cls]) & set(able) for cls in unused}
        for cls in sorted(parts, key=lambda cls: len(parts[cls] - staying), reverse=True):
            new = parts[cls] - moving
            if len(new - staying) > len(new & staying):
                moving = moving | new
        return moving - {cls for cls in parts if self._may_get_what_stays(cls, moving)}

    def _may_get_what_stays(self, cls: LinenClass, moving: Collection[LinenClass]) -> bool:
        """Whether a class has a field for a module, and whoever uses it may give it one of its file that stays
        Linen.
        """
        texts = [ast.unparse(f.node.annotation) for owner in cls.mro for f in owner.fields]
        if not any(re.search(r"\bModule\b", text) for text in texts):
            return False
        return any(other.module is cls.module and other not in moving for other in self.needs)

    def _is_for_users(self, reference: ClassReference) -> bool:
        """Whether a program only serves modules of others: a test of a part of them, or what asks a class for
        something that either form has (`GRU.initialize_carry(key, (batch,))`).
        """
        serves = reference.role is Role.METHOD or reference.module.is_test
        return serves and bool(self._used_by[reference.cls])

    def _copied(
        self, moving: Collection[LinenClass], kept: Collection[ClassReference]
    ) -> dict[LinenClass, list[LinenClass]]:
        """The classes that are needed in their Linen form although they move, with the classes that stay."""
        found: dict[LinenClass, list[LinenClass]] = {}
        for cls in _closed((r.cls for r in kept), self._named):
            if cls in moving:
                found[cls] = []
        for cls in self.needs:
            if cls not in moving:
                for other in self._closure([cls]) - {cls}:
                    if other in moving:
                        found.setdefault(other, []).append(cls)
        return found

    def _closure(self, classes: Iterable[LinenClass]) -> set[LinenClass]:
        """Classes with all that they need."""
        return set(_closed(classes, self.needs))

    def components(self, classes: Collection[LinenClass]) -> list[list[LinenClass]]:
        """The connected parts of some classes, in the order of the program."""
        parts: list[list[LinenClass]] = []
        seen: set[LinenClass] = set()
        order = {cls: index for index, cls in enumerate(self.needs)}
        for cls in self.needs:
            if cls in classes and cls not in seen:
                part, waiting = set(), [cls]
                while waiting:
                    other = waiting.pop()
                    if other not in part:
                        part.add(other)
                        waiting += [c for c in self.neighbours(other) if c in classes]
                seen |= part
                parts.append(sorted(part, key=order.__getitem__))
        return parts


def _constructed(conversions: Conversions, cls: LinenClass) -> Iterator[LinenClass]:
    """The classes whose modules the constructor of a class makes, those that functions make for it too."""
    conversion = conversions.converted.get(cls.qualified)
    if conversion is not None and conversion.analysis is not None:
        for site in conversion.analysis.sites:
            yield from site.classes


def _bridged(conversions: Conversions, cls: LinenClass) -> Collection[LinenClass]:
    """The classes that stay Linen in the modules of a class."""
    conversion = conversions.converted.get(cls.qualified)
    return conversion.bridged if conversion is not None else ()


def _closed(
    classes: Iterable[LinenClass], needs: Mapping[LinenClass, Collection[LinenClass]]
) -> list[LinenClass]:
    """Classes with all that they need, each once."""
    found: dict[LinenClass, None] = {}
    waiting = list(classes)
    while waiting:
        cls = waiting.pop()
        if cls not in found:
            found[cls] = None
            waiting += needs.get(cls, ())
    return list(found)


def _is_mention(reference: ClassReference) -> bool:
    """An annotation, or `Block.__name__ = ...`."""
    parent = reference.module.parents[reference.node]
    renames = isinstance(parent, ast.Attribute) and isinstance(parent.ctx, ast.Store)
    return reference.role is Role.ANNOTATION or renames


def _around(parents: Parents, node: ast.AST) -> Iterator[ast.AST]:
    parent = parents.get(node)
    while parent is not None:
        yield parent
        parent = parents.get(parent)
