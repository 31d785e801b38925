"""Modules whose calls programs intercept with `nn.intercept_methods`, which sees Linen modules only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from nnx_migrate.linen.model import LinenClass
from nnx_migrate.linen.programs.import_graph import ImportGraph
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_INTERCEPTING = frozenset({"flax.linen.intercept_methods", "flax.linen.module.intercept_methods"})


class Interception:
    """The places that intercept calls, and the files that may run code there."""

    def __init__(self, project: Project, imports: ImportGraph) -> None:
        self.places = list(_places(project))
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
