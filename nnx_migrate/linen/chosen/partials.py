"""One of several classes of the project that a condition chooses, where partials of classes are among them.

block = partial(BasicBlock, act=self.act) if self.depth < 50 else partial(BottleneckBlock, act=self.act)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from nnx_migrate.linen.chosen.layers import LayerChoice
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice, ClassRef, Partial


@dataclass(frozen=True)
class PartialChoice(ClassChoice):
    """One of several classes, or of partials of classes that bind keywords alone."""

    makers: tuple[ClassRef | Partial, ...] = ()

    @property
    def is_field(self) -> bool:
        """Whether a field holds it, so that these partials stand for those that constructions give."""
        return all(isinstance(maker, Partial) and not hasattr(maker.call, "lineno") for maker in self.makers)


def one_of_partials(values: Iterable[Any]) -> PartialChoice | None:
    """One of these classes or partials, or choices of such; None if anything else is among them."""
    found: dict[ClassRef | Partial, None] = {}
    for value in values:
        if isinstance(value, PartialChoice):
            found |= dict.fromkeys(value.makers)
        elif isinstance(value, ClassChoice) and not isinstance(value, LayerChoice):
            found |= {ClassRef(cls): None for cls in value.classes}
        elif isinstance(value, ClassRef) or (isinstance(value, Partial) and _is_plain(value)):
            found[value] = None
        else:
            return None
    if len(found) < 2 or not any(isinstance(maker, Partial) for maker in found):
        return None
    classes = {_class_of(maker).cls for maker in found}
    return PartialChoice("block", tuple(sorted(classes, key=lambda c: c.qualified)), makers=tuple(found))


def alternatives(site: Site, choice: PartialChoice) -> list[tuple[LinenClass, Site]]:
    """What a site is for each of the classes that it may construct."""
    found: list[tuple[LinenClass, Site]] = []
    for maker in choice.makers:
        made = _class_of(maker)
        given = dict(maker.kwargs) if isinstance(maker, Partial) else {}
        found.append((made.cls, replace(site, target=made, kwargs={**given, **site.kwargs})))
    return found


def _class_of(maker: ClassRef | Partial) -> ClassRef:
    made = maker.func if isinstance(maker, Partial) else maker
    assert isinstance(made, ClassRef)
    return made


def _is_plain(partial: Partial) -> bool:
    call = partial.call
    named = all(k.arg not in (None, "name", "parent") for k in call.keywords)
    return isinstance(partial.func, ClassRef) and len(call.args) == 1 and named and hasattr(call, "lineno")
