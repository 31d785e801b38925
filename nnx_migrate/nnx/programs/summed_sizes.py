"""Sizes that programs sum over all arrays of an input, which may be a dictionary: their functions need `jax`.

`Functional(MLP, ...).sized(lambda x: {"in_features": sum(leaf.shape[-1] for leaf in jax.tree.leaves(x))})`
"""

from __future__ import annotations

from collections.abc import Iterator

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.groups import Group

_JAX = "jax"


def files_that_sum(group: Group) -> list[Module]:
    """The files of programs where such a size is computed."""
    return list(dict.fromkeys(reference.module for reference in _references(group)))


def clashes(group: Group, project: Project) -> Iterator[tuple[LinenClass, Obstacle]]:
    """Where `jax` means something else than the package."""
    for reference in _references(group):
        module, node = reference.module, reference.node
        scope = module.scope_at(node)
        bound = scope.binder(_JAX) is not None
        if bound and project.resolve_name(_JAX, scope, module) != _JAX:
            yield reference.cls, Obstacle("name-clash", "`jax` means something else here", module, node)


def _references(group: Group) -> Iterator[ClassReference]:
    """The constructions that take such a size from the first call, and the classes that are values."""
    summed = {c.qualified: {s.name for s in c.sizes if s.joined} for c in group.conversions}
    for instance in group.instances:
        sizes = group.sizes.get(instance)
        if sizes is not None and summed[instance.cls.qualified] & sizes.late.keys():
            yield instance.reference
    yield from (value.reference for value in group.values if summed[value.cls.qualified])
