"""Classes as values that keep the Linen form: `partial(ResNet, conv=nn.ConvLocal)`, where NNX lacks the layer.

What such a partial makes has the same methods (`init`, `apply`) as what takes the place of the others, so programs
may get either.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.linen.programs.constructions.references import ClassReference, Role
from nnx_migrate.linen.programs.dataflow.callees import PARTIAL
from nnx_migrate.linen.programs.instances import InstanceFinder


@dataclass(frozen=True, eq=False)
class KeptValue:
    """Such a partial, with all the references to classes that are part of it."""

    value: ClassValue
    references: tuple[ClassReference, ...]

    @property
    def name(self) -> str:
        """What the program calls it."""
        module = self.value.reference.module
        parent = module.parents[module.parents[self.value.reference.node]]
        target = parent.targets[0] if isinstance(parent, ast.Assign) else None
        return target.id if isinstance(target, ast.Name) else f"`{module.path.name}`"


def kept_value(value: ClassValue, finder: InstanceFinder) -> KeptValue | None:
    """The partial around a value, if it can go on with the Linen form of its classes."""
    module, node = value.reference.module, value.reference.node
    outer = module.parents[node]
    if not (isinstance(outer, ast.Call) and outer.args[:1] == [node]):
        return None
    if finder.program.project.resolve(outer.func, module.scope_at(outer), module) not in PARTIAL:
        return None
    if value.problem or any(result.flow.held for result in finder.results(value)):
        return None
    within = set(ast.walk(outer))
    inside = tuple(r for r in finder.references.outside if r.node in within)
    compared = {reference.cls for reference in finder.compared}
    if any(compared & set(reference.cls.mro) for reference in inside):
        return None  # its own form isn't an instance of the converted class
    return KeptValue(value, inside) if all(r.role is Role.VALUE for r in inside) else None
