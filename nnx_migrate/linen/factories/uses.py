"""Where a class with factory fields is constructed: directly, by partials, and by other factory fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.factories.candidates import is_lifted
from nnx_migrate.linen.factories.compared import compares_classes
from nnx_migrate.linen.factories.named_partials import class_named, places_by_name
from nnx_migrate.linen.factories.other_calls import makes_no_module
from nnx_migrate.linen.programs.constructions.references import ClassReference, References, Role
from nnx_migrate.linen.programs.hidden.asked import is_compared
from nnx_migrate.names.displays import display_behind
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self, is_self

_PARTIAL = "functools.partial"


@dataclass(frozen=True, eq=False)
class Use:
    """A construction of a class, or a partial of it: the fields that it gives."""

    module: Module
    call: ast.Call
    arguments: Mapping[str, ast.expr]


def given_arguments(
    cls: LinenClass, call: ast.Call, skip: int = 0, module: Module | None = None
) -> dict[str, ast.expr] | None:
    """The fields that a call gives by position (after `skip` others) or by name; None where some are hidden.

    Those of a dict that the `module` shows are not: `Block(features, **block_args)`.
    """
    args = call.args[skip:]
    if any(isinstance(a, ast.Starred) for a in args):
        return None
    names = [f.name for f in cls.fields]
    found = dict(zip(names, args, strict=False))
    for keyword in call.keywords:
        items = {keyword.arg: keyword.value} if keyword.arg is not None else None
        if items is None and module is not None:
            items = display_behind(module, keyword.value)
        if items is None or items.keys() & found.keys():
            return None
        found |= items
    return found


def _is_static(reference: ClassReference) -> bool:
    """Whether a static method of the class is read, which gets no instance: `Encoder.initial_carry(8)`."""
    around = reference.module.parents.get(reference.node)
    if reference.role is not Role.METHOD or not isinstance(around, ast.Attribute):
        return False
    method = reference.cls.method(around.attr)
    return method is not None and method.kind == "static"


def _has_star(args: list[ast.expr]) -> bool:
    return any(isinstance(a, ast.Starred) for a in args)


def without_spread(call: ast.Call) -> ast.Call:
    """The arguments of a call that it names."""
    return ast.Call(call.func, call.args, [k for k in call.keywords if k.arg is not None])


class FactoryUses:
    """Finds everything that constructs a class. `factory` tells what a field of another class is given."""

    def __init__(
        self,
        program: LinenProgram,
        references: Callable[[], References],
        factory: Callable[[LinenClass, str], Any],
    ) -> None:
        self.program, self._references, self.factory = program, references, factory
        self.bodies = {cls.node: cls for cls in program}

    def class_around(self, module: Module, node: ast.AST) -> LinenClass | None:
        """The Linen class whose body holds a node."""
        parent = module.parents.get(node)
        while parent is not None and parent not in self.bodies:
            parent = module.parents.get(parent)
        return self.bodies.get(parent) if isinstance(parent, ast.ClassDef) else None

    def of(self, cls: LinenClass, field: str) -> list[Use] | None:
        """All constructions that may give `field`; None where there may be others, or none is known."""
        references = self._references()
        found: list[Use] = []
        is_value = False
        for reference in [*references.inside, *references.outside]:
            if reference.cls is not cls or reference.role in (Role.ANNOTATION, Role.BASE):
                continue
            if reference.role is Role.CONSTRUCTION:
                arguments = given_arguments(cls, reference.call, module=reference.module)
                if arguments is None and self._leave_default(cls, field, reference):
                    arguments = given_arguments(cls, without_spread(reference.call))
                if arguments is None:
                    return None
                found.append(Use(reference.module, reference.call, arguments))
            elif reference.role is Role.VALUE and (
                self._is_compared(reference) or references.is_alias(reference)
            ):
                continue
            elif reference.role is Role.VALUE:
                is_value = True
                uses = self._of_value(reference, field)
                if uses is None and not self._leave_default(cls, field, reference):
                    return None
                found += uses or []
            elif not _is_static(reference):
                return None
        if is_value and not self._all_known(cls, field, found):
            return None
        return found

    def _is_compared(self, reference: ClassReference) -> bool:
        module, node = reference.module, reference.node
        return is_compared(module, node) or compares_classes(self.program, module, module.parents.get(node))

    def is_unused(self, cls: LinenClass) -> bool:
        """Whether no code of the project makes anything of a class."""
        references = self._references()
        return not any(
            reference.cls is cls and reference.role is not Role.ANNOTATION
            for reference in (*references.inside, *references.outside)
        )

    def _leave_default(self, cls: LinenClass, field: str, reference: ClassReference) -> bool:
        """Whether constructions that can't be seen (`models[name](**config)`) leave a field its default.

        They do where nothing in the project that could end up in such a `config` has the field's name, and no call
        gives so many arguments by position.
        """
        item = cls.field(field)
        if item is None or item.default is None:
            return False
        index = [f.name for f in cls.fields].index(field)
        if reference.role is Role.CONSTRUCTION:
            args = reference.call.args
            return self._is_unnamed(field) and len(args) <= index and not _has_star(args)
        calls = reference.module.nodes(ast.Call)
        many = any(len(call.args) > index or _has_star(call.args) for call in calls)
        return not many and self._is_unnamed(field)

    @cache  # noqa: B019 (lives as long as the program)
    def _is_unnamed(self, field: str) -> bool:
        """Whether nothing in the project has the name of a field but arguments of classes that are named there."""
        name = re.escape(field)
        named = re.compile(rf"[\"']{name}[\"']|(?<!\bself)\.{name}\s*=(?!=)")
        project = self.program.project
        if any(True for _ in project.matching_files(named, field)):
            return False
        return self._all_known(None, field, [])

    def _of_value(self, reference: ClassReference, field: str) -> list[Use] | None:
        """What constructs a class that is handed to something."""
        module, node, cls = reference.module, reference.node, reference.cls
        outer = module.parents.get(node)
        if isinstance(outer, ast.Call) and outer.args[:1] == [node] and self._is_partial(module, outer):
            return self._of_partial(module, outer, cls, field)
        holder = self._holder(module, node)
        if holder is None:
            return None
        fields = self._passed_on(*holder)
        reads = [(owner, node) for owner, name in fields for node in _reads_of_field(owner, name)]
        if any(is_lifted(self.program, owner.module, node) for owner, node in reads):
            return None  # what a transform makes of it is constructed elsewhere
        uses: list[Use] = []
        for owner, read in reads:
            call = owner.module.parents.get(read)
            if not isinstance(call, ast.Call) or (call.func is not read and call.args[:1] != [read]):
                continue
            if call.func is read:
                arguments = given_arguments(cls, call)
                found = [Use(owner.module, call, arguments)] if arguments is not None else None
            elif self._is_partial(owner.module, call):
                found = self._of_partial(owner.module, call, cls, field)
            else:
                continue
            if found is None:
                return None
            uses += found
        return uses

    def _of_partial(self, module: Module, partial: ast.Call, cls: LinenClass, field: str) -> list[Use] | None:
        """What a partial of a class gives a field, or the calls of that partial."""
        arguments = given_arguments(cls, partial, skip=1)
        if arguments is None:
            return None
        if not _is_closed(cls, field, partial) and not self._is_left_alone(module, partial, cls, field):
            return self._by_name(module, partial, cls, field, arguments)
        return [Use(module, partial, arguments)]

    def _by_name(
        self, module: Module, partial: ast.Call, cls: LinenClass, field: str, bound: Mapping[str, ast.expr]
    ) -> list[Use] | None:
        """The constructions by the name that a module gives a partial, where all of them are seen."""
        places = places_by_name(self.program.project, module, partial) if len(partial.args) == 1 else None
        found: list[Use] = []
        for where, call in places or ():
            again = self._is_partial(where, call)
            arguments = given_arguments(cls, call, skip=1 if again else 0, module=where)
            if arguments is None:
                return None
            if again and not _is_closed(cls, field, call):
                return None
            found.append(Use(where, call, {**bound, **arguments}))
        return found if places is not None else None

    def _is_left_alone(self, module: Module, partial: ast.Call, cls: LinenClass, field: str) -> bool:
        """Whether all calls of a partial are seen, and none gives a field: `block = partial(Block, act=nn.gelu)`."""
        holder = self._holder(module, partial)
        if holder is None:
            return False
        index = [f.name for f in cls.fields].index(field) - len(partial.args) + 1
        for owner, name in self._passed_on(*holder):
            for node in _reads_of_field(owner, name):
                call = owner.module.parents.get(node)
                if isinstance(call, ast.Call) and call.func is node:
                    if len(call.args) > index or _has_star(call.args):
                        return False
                    if any(k.arg in (None, field) for k in call.keywords):
                        return False
                elif self._holder(owner.module, node) is None:
                    return False
        return True

    def _passed_on(self, owner: LinenClass, name: str) -> list[tuple[LinenClass, str]]:
        """A field, and the fields of other classes that are given it: `Stage(block_cls=self.block_cls)`."""
        found = [(owner, name)]
        for holder, field in found:
            for node in _reads_of_field(holder, field):
                further = self._holder(holder.module, node)
                if further is not None and further not in found:
                    found.append(further)
        return found

    def _holder(self, module: Module, node: ast.expr) -> tuple[LinenClass, str] | None:
        """The class and field that gets a class, by default or as an argument: `ResNet(block_cls=Block)`, a partial."""
        outer = module.parents.get(node)
        if isinstance(outer, ast.AnnAssign):
            return self._with_default(module, outer, node)
        name = outer.arg if isinstance(outer, ast.keyword) else None
        if isinstance(outer, ast.keyword):
            outer = module.parents.get(outer)
        if not isinstance(outer, ast.Call):
            return None
        partial = self._is_partial(module, outer)
        target = outer.args[0] if partial and outer.args else outer.func
        owner = self.program.find(class_named(self.program.project, module, target))
        if owner is None:
            return None
        if name is None:
            names = [f.name for f in owner.fields]
            index = outer.args.index(node) - partial
            name = names[index] if index < len(names) else ""
        return (owner, name) if self.factory(owner, name) is not None else None

    def _with_default(
        self, module: Module, field: ast.AnnAssign, node: ast.AST
    ) -> tuple[LinenClass, str] | None:
        body, target = module.parents.get(field), field.target
        owner = self.bodies.get(body) if isinstance(body, ast.ClassDef) else None
        if owner is None or field.value is not node or not isinstance(target, ast.Name):
            return None
        return (owner, target.id) if self.factory(owner, target.id) is not None else None

    def _is_partial(self, module: Module, call: ast.Call) -> bool:
        return self.program.project.resolve(call.func, module.scope_at(call.func), module) == _PARTIAL

    def _all_known(self, cls: LinenClass | None, field: str, found: list[Use]) -> bool:
        """Whether every argument of that name in the project is given to a class that is named there, or makes none."""
        known = {use.call for use in found}
        for module in self.program.project.matching(re.compile(rf"\b{re.escape(field)}\s*="), field):
            for call in module.nodes(ast.Call):
                if call in known or all(k.arg != field for k in call.keywords):
                    continue
                target = call.args[0] if self._is_partial(module, call) and call.args else call.func
                named = self.program.project.resolve(target, module.scope_at(target), module)
                if self.program.find(named) is not None or self._makes_others(module, target, cls):
                    continue
                other = self.program.find(class_named(self.program.project, module, target))
                if other is not None and cls is not None and other is not cls:
                    continue
                if target is not call.func or not makes_no_module(self.program.project, module, call, field):
                    return False
        return True

    def _makes_others(self, module: Module, target: ast.expr, cls: LinenClass | None) -> bool:
        """Whether what is called is `self.block_cls`, and that field is given other things than `cls`."""
        owner = self.class_around(module, target) if isinstance(target, ast.Attribute) else None
        if owner is None or not isinstance(target, ast.Attribute) or not is_self(target.value):
            return False
        factory = self.factory(owner, target.attr)
        return factory is not None and cls is not None and cls not in factory.classes


def _is_closed(cls: LinenClass, field: str, partial: ast.Call) -> bool:
    """Whether calls of a partial can't give a field unseen: not by position, and not because they have to."""
    names = [f.name for f in cls.fields]
    index = names.index(field)
    given = {k.arg for k in partial.keywords}
    found = cls.field(field)
    required = found is not None and found.default is None
    if field in given or index < len(partial.args) - 1:
        return True
    return not required and any(name in given for name in names[: index + 1])


def _reads_of_field(owner: LinenClass, name: str) -> Iterator[ast.Attribute]:
    for node in ast.walk(owner.node):
        if is_of_self(node, name):
            yield node
