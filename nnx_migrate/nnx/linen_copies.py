"""Linen copies: what classes that stay Linen keep using of a class that moves to NNX.

The copy stands behind the class, under another name, and tells Linen the old one: Linen names submodules, and with
them parameters, after `__name__` of their class. So models that stay Linen keep parameters and checkpoints.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference, References
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Guard, absolute_module
from nnx_migrate.nnx.asked_classes import KeptProgram
from nnx_migrate.nnx.programs.kept_values import KeptValue
from nnx_migrate.sources.text import Edit, SourceText

_PREFIX = "Linen"
#: Decorators that only look at the class, and leave nothing of it elsewhere (a registry would hold it twice).
_HARMLESS_DECORATORS = ("flax.", "dataclasses.", "functools.", "typing.")
_NAMED_USERS = 3


@dataclass
class Copies:
    """The edits and imports that a group's Linen copies need, by file."""

    edits: list[tuple[Module, Edit]] = field(default_factory=list)
    imports: list[tuple[Module, ImportRequest]] = field(default_factory=list)


def is_copy(cls: LinenClass) -> bool:
    """Whether a class is what an earlier `fix` made for code that stays."""
    return cls.name == _PREFIX + cls.scope_name


class CopyWriter:
    """Writes Linen copies, and the references to them in classes that stay Linen."""

    def __init__(self, project: Project, references: References) -> None:
        self.project = project
        self.kept: list[KeptValue | KeptProgram] = []  # what programs go on to make of Linen forms
        self._inside: dict[LinenClass, list[ClassReference]] = {}
        for reference in references.inside:
            within = references.enclosing_class(reference.module, reference.node)
            if within is not None:
                self._inside.setdefault(within, []).append(reference)
        self._nested = {
            outer
            for cls in references.program
            if (outer := references.enclosing_class(cls.module, cls.node)) is not None
        }

    def obstacle(self, cls: LinenClass, copied: Mapping[LinenClass, Sequence[LinenClass]]) -> Obstacle | None:
        """Why a class can't have a Linen copy for its users, if so."""
        try:
            self._check(cls)
            for owner in self._readers(cls, copied):
                for reference in self._inside.get(owner, ()):
                    if reference.cls is cls:
                        self._renamed(reference)
            for reference in self._in_kept(cls):
                self._renamed(reference)
        except Refuse as refusal:
            node = refusal.node or cls.node
            return Obstacle(refusal.reason, refusal.detail, cls.module, node)
        return None

    def copies(
        self, group: Collection[LinenClass], copied: Mapping[LinenClass, Sequence[LinenClass]]
    ) -> Copies:
        """The Linen copies of those classes of a group that need one, and the references to them."""
        found = Copies()
        wanted = [cls for cls in copied if cls in group]
        for cls in wanted:
            found.edits.append((cls.module, self._copy(cls, copied)))
            inside = [r for owner in copied[cls] for r in self._inside.get(owner, ()) if r.cls is cls]
            for reference in [*inside, *self._in_kept(cls)]:
                edit, request = self._renamed(reference)
                found.edits.append((reference.module, edit))
                self._import(found, reference, request)
        for cls in wanted:  # copies read other copies
            for reference in self._inside.get(cls, ()):
                if reference.cls in copied:
                    _, request = self._renamed(reference)
                    self._import(found, reference, request)
        return found

    def _import(self, found: Copies, reference: ClassReference, request: ImportRequest | None) -> None:
        """Bring the copy to a file: by an import of its own, or beside the class in each of those that try others."""
        module, cls = reference.module, reference.cls
        if request is not None:
            found.imports.append((module, request))
        elif module is not cls.module and isinstance(reference.node, ast.Name):
            for end in self._alternatives(module, cls):
                edit = Edit(end, end, f", {_PREFIX}{cls.name}")
                if (module, edit) not in found.edits:
                    found.edits.append((module, edit))

    def _alternatives(self, module: Module, cls: LinenClass) -> list[int]:
        """The ends of a class's name in `try: from .layers import Block`, `except ImportError: from layers import
        Block`, where every import of that name brings it.
        """
        bindings = module.scopes.module.lookup(cls.name)
        ends = []
        for binding in bindings:
            node, alias = binding.node, binding.alias
            if (
                not isinstance(node, ast.ImportFrom)
                or alias is None
                or alias.name != cls.name
                or binding.guard not in (Guard.NONE, Guard.FALLBACK)
                or module.statement_of(node) is not node
                or self.project.canonical(binding.target, module) != cls.qualified
            ):
                return []
            ends.append(module.source.span(alias)[1])
        return ends if len(ends) > 1 else []

    def _in_kept(self, cls: LinenClass) -> list[ClassReference]:
        return [reference for kept in self.kept for reference in kept.references if reference.cls is cls]

    def _readers(
        self, cls: LinenClass, copied: Mapping[LinenClass, Sequence[LinenClass]]
    ) -> Iterator[LinenClass]:
        """The classes whose Linen form refers to the copy."""
        yield from copied[cls]
        yield from copied

    def _reads(self, owner: LinenClass, cls: LinenClass) -> bool:
        return any(reference.cls is cls for reference in self._inside.get(owner, ()))

    def _check(self, cls: LinenClass) -> None:
        module, name = cls.module, _PREFIX + cls.name
        what = f"classes that stay Linen need `{cls.name}` in its Linen form"
        if module.path.suffix != ".py" or cls.node not in module.tree.body or cls in self._nested:
            raise Refuse("uses-not-converted", f"{what}; it can't be copied from where it stands", cls.node)
        if is_copy(cls):
            raise Refuse("uses-not-converted", f"{what}, and it is a copy that `fix` made for them", cls.node)
        if name in module.source.text:
            raise Refuse("name-clash", f"{what}, and `{name}` is taken", cls.node)
        for decorator in cls.node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            path = cls.resolve_in_class(called) or ""
            if not path.startswith(_HARMLESS_DECORATORS):
                detail = f"{what}, and the decorator `{ast.unparse(called)}` would see it twice"
                raise Refuse("uses-not-converted", detail, decorator)
        if any("__init_subclass__" in base.own_methods for base in cls.mro):
            raise Refuse("uses-not-converted", f"{what}, and a base class counts its subclasses", cls.node)

    def _copy(self, cls: LinenClass, copied: Mapping[LinenClass, Sequence[LinenClass]]) -> Edit:
        """The Linen class once more, behind the converted one."""
        source = cls.module.source
        first = min([cls.node.lineno, *(node.lineno for node in cls.node.decorator_list)])
        assert cls.node.end_lineno is not None
        start, end = source.line_start(first), source.span(cls.node)[1]
        behind = source.line_start(cls.node.end_lineno + 1)
        ends_open = behind < end  # the file ends without a line end
        if not ends_open:
            end = start + len(source.text[start:behind].rstrip())  # with a comment behind the last statement
        edits = [self._header(cls)]
        edits += [
            self._renamed(reference)[0]
            for reference in self._inside.get(cls, ())
            if reference.cls in copied and reference.node not in cls.node.decorator_list
        ]
        text = SourceText(source.text[start:end]).with_edits(
            [Edit(e.start - start, e.end - start, e.new) for e in edits]
        )
        name = _PREFIX + cls.name
        users = list(dict.fromkeys(user.name for user in copied[cls] if self._reads(user, cls)))
        users += [_PREFIX + c.name for c in copied if c is not cls and self._reads(c, cls)]
        users += [kept.name for kept in self.kept if any(r.cls is cls for r in kept.references)]
        more = ", ..." if len(users) > _NAMED_USERS else ""
        comment = f"# The Linen form of `{cls.name}`, for {', '.join(users[:_NAMED_USERS])}{more}\n"
        naming = f'{name}.__name__ = "{cls.name}"  # Linen names parameters after it\n'
        if ends_open:
            return Edit(end, end, f"\n\n\n{comment}{text.text}\n\n\n{naming}")
        return Edit(behind, behind, f"\n\n{comment}{text.text}\n\n\n{naming}")

    @staticmethod
    def _header(cls: LinenClass) -> Edit:
        source = cls.module.source
        start = source.text.index(cls.name, source.span(cls.node)[0] + len("class"))
        return Edit(start, start + len(cls.name), _PREFIX + cls.name)

    def _renamed(self, reference: ClassReference) -> tuple[Edit, ImportRequest | None]:
        """A reference that means the copy, and the import that it needs. Raises Refuse."""
        module, node, cls = reference.module, reference.node, reference.cls
        name = _PREFIX + cls.name
        start, end = module.source.span(node)
        if isinstance(node, ast.Attribute):
            holder = self.project.resolve(node.value, module.scope_at(node), module)
            if node.attr != cls.name or holder != cls.module.name:
                detail = f"`{ast.unparse(node)}` is another name of `{cls.name}`"
                raise Refuse("uses-not-converted", detail, node)
            return Edit(end - len(node.attr), end, name), None
        if module is cls.module:
            return Edit(start, end, name), None
        if name in module.source.text:
            raise Refuse("name-clash", f"`{name}` is taken in `{module.path.name}`", node)
        base = self._spelled(module, cls)
        if base is None and self._alternatives(module, cls):
            return Edit(start, end, name), None
        if base is None:
            detail = f"how `{module.path.name}` could import a copy of `{cls.name}` isn't known"
            raise Refuse("uses-not-converted", detail, node)
        return Edit(start, end, name), ImportRequest(f"{base}.{name}", name, base)

    def _spelled(self, module: Module, cls: LinenClass) -> str | None:
        """The module of a class as the imports of a file spell it, that of the class itself first."""
        bindings = module.scopes.module.lookup(cls.name)
        if len(bindings) > 1 or any(b.guard is not Guard.NONE for b in bindings):
            return None  # one import more would have to be tried and replaced in the same way
        own = [b.node for b in bindings]
        statements = [n for n, _, _ in module.scopes.imports if isinstance(n, ast.ImportFrom)]
        for node in sorted(statements, key=lambda n: n not in own):
            base = absolute_module(node, module.package)
            found = self.project.find_module(base, module)
            if found is None:
                continue
            written = "." * node.level + (node.module or "")
            if found is cls.module:
                return written
            rest = cls.module.name.removeprefix(f"{found.name}.")
            if found.is_package and rest != cls.module.name:
                inner = f"{base}.{rest}"
                if self.project.find_module(inner, module) is cls.module:
                    return f"{written}{'' if written.endswith('.') else '.'}{rest}"
        return None
