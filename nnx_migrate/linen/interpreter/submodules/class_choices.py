"""One of several classes, or layers, that a condition or a table chooses: `Bottleneck if self.deep else Basic`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.chosen.layers import LayerChoice, one_of_layers
from nnx_migrate.linen.chosen.partials import one_of_partials
from nnx_migrate.linen.values import ClassChoice, ClassRef, Expr


def one_of_classes(values: Iterable[Any]) -> ClassRef | ClassChoice | None:
    """One of these classes or layers, or choices of such; None if anything else is among them."""
    found = list(values)
    layers = one_of_layers(found)
    if isinstance(layers, LayerChoice):
        return layers
    partials = one_of_partials(found)
    if partials is not None:
        return partials
    if not found or not all(isinstance(value, ClassRef | ClassChoice) for value in found):
        return None
    if any(isinstance(value, LayerChoice) for value in found):
        return None
    classes = {c for v in found for c in (v.classes if isinstance(v, ClassChoice) else (v.cls,))}
    if len(classes) == 1:
        return ClassRef(classes.pop())
    return ClassChoice("block", tuple(sorted(classes, key=lambda c: c.qualified)))


def in_place(choice: ClassRef | ClassChoice, text: str | None) -> ClassRef | ClassChoice:
    """A choice that no variable holds: the constructor asks the expression itself."""
    return replace(choice, text=text) if isinstance(choice, ClassChoice) and text else choice


def named(choice: ClassChoice, name: str, variable: Any) -> ClassChoice:
    """A choice that a variable holds, which the constructor has, too."""
    return replace(choice, field=name, text=variable.text if isinstance(variable, Expr) else "")
