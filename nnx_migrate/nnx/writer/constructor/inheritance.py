"""Subclasses: what the base class's constructor does, and what is left for the subclass's own."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import Field, LinenClass, Method
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.calls.flatteners import all_joined
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import comprehension_of
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
    from nnx_migrate.nnx.writer.symbols import SizeParameter

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
        if self.calls_super and any(size.optional for size in base.sizes):
            detail = f"`{base.cls.name}` takes a size that need not be given"
            raise Refuse("unknown-base", detail, analysis.cls.node)
        if self.calls_super and any(
            size.listed is not None
            and comprehension_of(analysis.cls, size.method, size.listed)
            is not comprehension_of(base.cls, size.method, size.listed)
            for size in base.sizes
        ):
            detail = f"`{base.cls.name}` takes sizes at axes that its fields choose"
            raise Refuse("unknown-base", detail, analysis.cls.node)
        if self.calls_super:
            _take_names(analysis, base.analysis)
        self.inherited = inherited
        self.given = self._given_sizes() if self.calls_super else {}

    def _given_sizes(self) -> dict[str, Dim]:
        """The base's sizes where the class hands its base's method other inputs: `super().__call__(y)`."""
        found: dict[str, Dim] = {}
        for size in self.base.sizes:
            method = self.base.cls.method(size.method)
            for (context, node), closure in self.analysis.facts.functions.items():
                if not isinstance(node, ast.Call) or not _calls_super(node):
                    continue
                if method is None or closure.node is not method.node:
                    continue
                dim = self._size_at(context, node, method, size)
                if not dim.known:
                    raise Refuse("unknown-size", f"an input of `super().{method.name}`: {dim.reason}", node)
                if size.name in found and not same(found[size.name], dim):
                    raise Refuse("sizes-differ", f"calls of `super().{method.name}`", node)
                found[size.name] = dim
        return found

    def _size_at(self, context: Context, call: ast.Call, method: Method, size: SizeParameter) -> Dim:
        given = dict(zip(method.parameters, call.args, strict=False))
        given.update({k.arg: k.value for k in call.keywords if k.arg})
        node = given.get(str(size.path[0]))
        value = self.analysis.facts.values.get((context, node)) if node is not None else None
        array = all_joined(value) if size.joined else effect_value(self.analysis.session, value)
        if (
            size.is_dtype
            or len(size.path) != 1
            or isinstance(node, ast.Starred)
            or not isinstance(array, Array)
        ):
            return Dim.unknown("an argument that can't be followed")
        rank = self.base.assumed.get(size.path)
        if rank is not None and array.shape.rank != rank:
            return Dim.unknown("the rank isn't known")
        return array.shape.elements(size.axis) if size.flat else array.shape.dim(size.axis)

    def check_sizes(self, writer: ConstructionWriter) -> None:
        """Refuse where the base's constructor would make other modules than its methods need here."""
        for call, site in self.inherited.items():
            if isinstance(site, Site) and not self.given:  # else they follow from what is given
                theirs = self.base.constructions.get(call)
                callee, arguments = writer.parts(site)
                if theirs is not None and _PHI.sub("", theirs) != _PHI.sub(
                    "", f"{callee}({', '.join(arguments)})"
                ):
                    detail = f"`{site.attribute}` needs other sizes than in `{self.base.cls.name}`"
                    raise Refuse("sizes-differ", detail, self.analysis.cls.node)

    def call_text(self, name: Callable[[Dim], str]) -> str:
        """`super().__init__(...)`; `name` writes a size."""
        arguments = [item.name for item in self.base.cls.fields]
        for size in self.base.sizes:
            text = name(self.given[size.name]) if size.name in self.given else size.name
            arguments.append(f"{size.name}={text}")
        if self.base.needs_rngs:
            arguments.append("rngs=rngs")
        return f"super().__init__({', '.join(arguments)})"


def _calls_super(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    inner = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == "super"


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


def _take_names(analysis: ClassAnalysis, base: ClassAnalysis) -> None:
    """Give what the base's code creates the names that it has there.

    A helper that is called several times creates something in each call; else the base's method may be reached by
    another way, as the same module.
    """
    theirs: dict[ast.AST, list[Site | VariableSite]] = {}
    for one in _everything(base):
        theirs.setdefault(one.call, []).append(one)
    own = [one for one in _everything(analysis) if one.owner is not analysis.cls]
    for one in own:
        found = theirs[one.call]
        if len(found) > 1 or sum(other.call is one.call for other in own) > 1:
            found = [other for other in found if other.context == one.context]
        if len(found) != 1:
            detail = f"only some of the modules of `{base.cls.name}` are used"
            raise Refuse("unknown-base", detail, analysis.cls.node)
        one.attribute = found[0].attribute
