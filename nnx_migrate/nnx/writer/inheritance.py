"""Subclasses: what the base class's constructor does, and what is left for the subclass's own."""

from __future__ import annotations

import ast
import builtins
import re
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.model import Field, LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.construction import ConstructionWriter

_PHI = re.compile(r"§p\d+")


class Inheritance:
    """The relation of a class to its converted base class.

    `calls_super` tells whether the base's constructor makes what the base's methods use here, too. If none
    of its
    modules occur in the subclass, the subclass sets everything itself.
    """

    def __init__(self, analysis: ClassAnalysis, base: ClassConversion) -> None:
        self.analysis, self.base = analysis, base
        inherited = {s.call: s for s in _everything(analysis) if s.owner is not analysis.cls}
        assert base.analysis is not None
        theirs = {s.call: s for s in _everything(base.analysis)}
        if set(inherited) == set(theirs):
            self.calls_super = True
        elif not inherited:
            self.calls_super = False
        else:
            raise Refuse(
                "unknown-base", f"only some of the modules of `{base.cls.name}` are used", analysis.cls.node
            )
        if any(call in inherited and inherited[call].context != theirs[call].context for call in theirs):
            pass  # a method of the base that is reached by another way: the same module
        for call, site in inherited.items():
            site.attribute = theirs[call].attribute
        self.inherited = inherited

    def check_sizes(self, writer: ConstructionWriter) -> None:
        """Refuse where the base's constructor would make other modules than its methods need here."""
        for call, site in self.inherited.items():
            if isinstance(site, Site):
                theirs = self.base.constructions.get(call)
                callee, arguments = writer.parts(site)
                if theirs is not None and _PHI.sub("", theirs) != _PHI.sub(
                    "", f"{callee}({', '.join(arguments)})"
                ):
                    detail = f"`{site.attribute}` needs other sizes than in `{self.base.cls.name}`"
                    raise Refuse("sizes-differ", detail, self.analysis.cls.node)

    def call_text(self) -> str:
        """`super().__init__(...)`."""
        arguments = [item.name for item in self.base.cls.fields]
        arguments += [f"{size.name}={size.name}" for size in self.base.sizes]
        if self.base.needs_rngs:
            arguments.append("rngs=rngs")
        return f"super().__init__({', '.join(arguments)})"


def _everything(analysis: ClassAnalysis) -> list[Site | VariableSite]:
    return [*analysis.sites, *analysis.variables]


def is_portable(node: ast.AST | None, source: Module, target: Module, project: Project) -> bool:
    """Whether an expression of one module means the same in another."""
    if node is None or source is target:
        return True
    for name in (n for n in ast.walk(node) if isinstance(n, ast.Name)):
        here = project.resolve_name(name.id, target.scopes.module, target)
        there = project.resolve_name(name.id, source.scopes.module, source)
        if here is None and there is None and hasattr(builtins, name.id):
            continue
        if here is None or here != there:
            return False
    return True


def inherited_field(item: Field, cls: LinenClass, project: Project) -> tuple[bool, bool]:
    """Whether the annotation and the default of an inherited field can be repeated in the subclass's file."""
    return (
        is_portable(item.annotation, item.owner.module, cls.module, project),
        is_portable(item.default, item.owner.module, cls.module, project),
    )
