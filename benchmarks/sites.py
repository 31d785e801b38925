"""Counts the places where programs use Linen modules: `model.init`, `model.apply`, `model.bind` and their like.

A site counts as converted where every module that it may mean has been converted. Sites whose module isn't known
(`agent.model.apply(...)` on something from outside) are counted apart: nothing there can be converted.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.parameter_entries import class_key

ENTRIES = ("init", "lazy_init", "init_with_output", "apply", "bind", "tabulate")
_APPLY_KEYWORDS = frozenset({"rngs", "mutable", "method"})


@dataclass
class Sites:
    """How many sites there are, by what became of them."""

    converted: int = 0
    left: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All sites."""
        return self.converted + self.left + self.unknown

    def add(self, other: Sites) -> None:
        """Count those of another project, too."""
        self.converted += other.converted
        self.left += other.left
        self.unknown += other.unknown


def count_sites(project: Project, converted: Collection[str]) -> Sites:
    """The sites of a project before its conversion; `converted` are the keys of the classes that were."""
    finder = InstanceFinder(LinenProgram(project))
    users: dict[ast.expr, set[LinenClass]] = {}
    results = [made for value in finder.class_values() for made in finder.results(value)]
    for instance in [*finder.known_instances, *results]:
        for _, node in instance.flow.attributes(*ENTRIES):
            users.setdefault(node, set()).add(instance.cls)
    sites = Sites()
    for module in project.modules():
        for node in module.nodes(ast.Attribute):
            if node.attr not in ENTRIES or finder.references.in_linen_class(module, node):
                continue
            if node in users:
                done = all(class_key(cls) in converted for cls in users[node])
                sites.converted += done
                sites.left += not done
            elif _looks_like_linen(module, node, project):
                sites.unknown += 1
    return sites


def _looks_like_linen(module: Module, node: ast.Attribute, project: Project) -> bool:
    """Whether a call is written as ones of Linen are: `x.init(key, inputs)`, `x.apply({"params": p}, inputs)`."""
    call = module.parents[node]
    if not (isinstance(call, ast.Call) and call.func is node):
        return False
    if project.resolve(node, module.scope_at(node), module) is not None:
        return False
    if node.attr in ("init", "lazy_init", "init_with_output"):
        return len(call.args) >= 2
    if node.attr != "apply" or not call.args:
        return False
    first = ast.unparse(call.args[0])
    return "param" in first or "variables" in first or any(k.arg in _APPLY_KEYWORDS for k in call.keywords)
