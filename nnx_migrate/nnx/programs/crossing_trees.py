"""Trees of parameters that may go from a class that stays Linen to the NNX form of a class that it holds.

`params["encoder"]` of such a model has Linen's names. A program that takes it out may hand it to an encoder of its
own, which is NNX by then; so that one has to have the same names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference, References
from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.programs.name_tests import goes_through_names
from nnx_migrate.nnx.programs.unrelated import has_only_its_own

_TAKING = frozenset({"get", "pop"})
#: What surely has no parameters by its name.
_SETTINGS = re.compile(r"conf|cfg|args|hparams|options|settings|spec|batch|metric|loss", re.IGNORECASE)
#: What Linen and NNX call arrays alike, which have no names below.
_ARRAYS = frozenset({"kernel", "bias", "scale", "embedding", "mean", "var"})


class CrossingTrees:
    """Finds the places in programs that may take such trees out of others, or put them into these."""

    def __init__(self, project: Project, references: References, imports: ImportGraph) -> None:
        self.project, self.references, self.imports = project, references, imports

    def obstacles(
        self,
        copied: Mapping[LinenClass, Sequence[LinenClass]],
        renamed: Collection[LinenClass],
        parts: Callable[[LinenClass], Collection[LinenClass]],
    ) -> Iterator[tuple[LinenClass, Obstacle]]:
        """For classes with new names whose parameters may be in the tree of one that stays Linen.

        `copied` are the classes with both forms, each with those that hold the Linen one; `parts` gives a class with
        all that it holds itself.
        """
        for cls, holders in copied.items():
            concerned = [part for part in parts(cls) if part in renamed]
            place = next(self._places(cls, holders), None) if concerned else None
            if place is not None:
                module, node = place
                detail = f"{node.value!r} names a `{cls.name}` of a class that stays Linen"
                yield from ((part, Obstacle("parameter-names", detail, module, node)) for part in concerned)

    def _places(
        self, cls: LinenClass, holders: Sequence[LinenClass]
    ) -> Iterator[tuple[Module, ast.Constant]]:
        """Where programs name a module of a class in classes that stay Linen."""
        patterns = list(self._names(cls, holders))
        if not patterns:
            return
        names = re.compile(rf"(?:{'|'.join(patterns)})(?:[/.].*)?")
        homes = {holder.module.path for holder in holders}
        for module in self.project.modules():
            if homes.isdisjoint(self.imports.known_to(module)) and has_only_its_own(
                module, self.project, self.imports
            ):
                continue
            for node in module.nodes(ast.Constant):
                if (
                    isinstance(node.value, str)
                    and names.fullmatch(node.value)
                    and _is_key_of_parameters(module, node)
                    and not self.references.in_linen_class(module, node)
                ):
                    yield module, node

    def _names(self, cls: LinenClass, holders: Sequence[LinenClass]) -> Iterator[str]:
        """Patterns for what Linen calls the modules of a class in others."""
        found = False
        for reference in self.references.inside:
            holder = self.references.enclosing_class(reference.module, reference.node)
            if reference.cls is cls and holder in holders:
                found = True
                yield from _names_given(reference)
        if found:
            yield rf"{re.escape(cls.name)}_\d+"


def _names_given(reference: ClassReference) -> Iterator[str]:
    """The name that a construction gives, and that of the attribute which holds it, or a list of such."""
    node: ast.AST | None = reference.node
    while node is not None and not isinstance(node, ast.stmt):
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg == "name":
                yield _text(keyword.value)
        node = reference.module.parents.get(node)
    targets = node.targets if isinstance(node, ast.Assign) else ()
    for target in targets:
        if is_of_self(target):
            yield rf"{re.escape(target.attr)}(?:_\w+)?"


def _text(node: ast.expr) -> str:
    """A pattern for the texts that an expression may give."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(_text(part) if isinstance(part, ast.Constant) else r"\w+" for part in parts)


def _is_key_of_parameters(module: Module, node: ast.Constant) -> bool:
    """`params["encoder"]`, `params.pop("encoder")`, `{"encoder": params}`; any text where code goes through names."""
    parent = module.parents[node]
    if isinstance(parent, ast.Expr) or (isinstance(parent, ast.keyword) and parent.arg == "name"):
        return False
    if isinstance(parent, ast.Subscript):
        return _may_hold_parameters(module, parent.value) and not _gives_array(module, parent)
    if (
        isinstance(parent, ast.Call)
        and isinstance(parent.func, ast.Attribute)
        and parent.func.attr in _TAKING
    ):
        return _may_hold_parameters(module, parent.func.value)
    if isinstance(parent, ast.Dict) and node in parent.keys:
        value = parent.values[parent.keys.index(node)]
        return isinstance(value, ast.Name | ast.Attribute | ast.Subscript) and _may_hold_parameters(
            module, value
        )
    return goes_through_names(module)


def _may_hold_parameters(module: Module, node: ast.expr) -> bool:
    return _SETTINGS.search(module.source.segment(node)) is None


def _gives_array(module: Module, node: ast.Subscript) -> bool:
    """`params["encoder"]["Dense_0"]["kernel"]`: names stay behind."""
    parent = module.parents[node]
    while isinstance(parent, ast.Subscript) and parent.value is node:
        node, parent = parent, module.parents[parent]
    return isinstance(node.slice, ast.Constant) and node.slice.value in _ARRAYS
