"""Modules whose calls programs intercept with `nn.intercept_methods`, which sees Linen modules only, or whose layers
they replace in Linen itself (`setattr(nn, "Dense", SparseDense)`, `mock.patch.object(nn, "Dropout")`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project

_REPLACED = re.compile(r"\bsetattr\(|\bpatch\b|^\s*[\w.]+\.\w+ = ", re.MULTILINE)
_INTERCEPTING = frozenset({"flax.linen.intercept_methods", "flax.linen.module.intercept_methods"})


class Interception:
    """The places that intercept calls, and the files that may run code there."""

    def __init__(self, project: Project, imports: ImportGraph) -> None:
        self.places: list[tuple[Module, ast.AST]] = [*_places(project), *_replacements(project)]
        self.reaching = [(place, imports.users(place[0])) for place in self.places]

    def obstacles(self, instances: Iterable[Instance]) -> Iterator[tuple[LinenClass, Obstacle]]:
        """What is made or used in a file that may intercept its calls."""
        for instance in instances if self.places else ():
            files = {instance.reference.module.path, *(use.module.path for use in instance.flow.uses)}
            for (module, call), users in self.reaching:
                if files & users:
                    what = "a program may intercept its calls"
                    yield instance.cls, Obstacle("module-use", what, module, call)
                    break


def _places(project: Project) -> Iterator[tuple[Module, ast.Call]]:
    for module in project.mentioning("intercept_methods"):
        for call in module.nodes(ast.Call):
            if project.resolve(call.func, module.scope_at(call), module) in _INTERCEPTING:
                yield module, call


def _replacements(project: Project) -> Iterator[tuple[Module, ast.AST]]:
    """Where something takes the place of what Linen has."""
    for module in project.mentioning("linen"):
        if _REPLACED.search(module.source.text) is None:
            continue
        for call in module.nodes(ast.Call):
            name = last_name(call.func)
            if (
                call.args
                and name in ("setattr", "object", "patch")
                and _is_of_linen(project, module, call.args[0])
            ):
                yield module, call
        for statement in module.nodes(ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Attribute) and _is_of_linen(project, module, target.value):
                    yield module, statement


def _is_of_linen(project: Project, module: Module, node: ast.expr) -> bool:
    """Whether this is `flax.linen`, a layer of it, or the name of such."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value.startswith("flax.linen")
    if not isinstance(node, ast.Name | ast.Attribute) or (isinstance(node, ast.Name) and node.id == "self"):
        return False
    return (project.resolve(node, module.scope_at(node), module) or "").startswith("flax.linen")
