"""Classes with Linen's own names for the modules that they make, for programs that can't be told new ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.nnx.conversion import ClassConversion, Conversions
from nnx_migrate.nnx.programs.renames import names_of
from nnx_migrate.nnx.writer.naming import Naming

_NUMBER = re.compile(r"_(?:\d+|\{[^{}]*\})(?=[_/]|$)")


def name_as_linen(conversions: Conversions, classes: Iterable[LinenClass]) -> bool:
    """Convert classes again, with names nearer to Linen's: for single modules first, for those of lists, too, next.

    Returns whether that is new for any of them; where one can't be converted so, all stay as they were.
    """
    group = list(classes)
    return _named(conversions, group, Naming.AS_LINEN) or _named(conversions, group, Naming.LISTS_AS_LINEN)


def _named(conversions: Conversions, group: list[LinenClass], naming: Naming) -> bool:
    before = {cls: conversions.namings.get(cls, Naming.FREELY) for cls in group}
    wanted = [cls for cls in group if before[cls].value < naming.value]
    old = {cls.qualified: conversions.converted.pop(cls.qualified) for cls in wanted}
    conversions.namings.update(dict.fromkeys(wanted, naming))
    try:
        for cls in wanted:
            assert conversions.convert is not None
            conversions.convert(cls)
        made = [conversions.converted[cls.qualified] for cls in group]
        if naming is not Naming.LISTS_AS_LINEN or _differ(made):
            return bool(wanted)
    except Refuse:
        pass
    for cls in wanted:
        conversions.refused.pop(cls.qualified, None)
    conversions.converted |= old
    if naming is Naming.LISTS_AS_LINEN:
        conversions.namings.update(before)
    return False


def _differ(conversions: Iterable[ClassConversion]) -> bool:
    """Whether modules still have different names where those of a list are called as Linen calls them."""
    for conversion in conversions:
        alike: dict[str, set[tuple[str, str]]] = {}  # by what is left of a new name without numbers
        for old, new in names_of(conversion):
            if "{}" in old or (old != new and "{" not in old):
                return (
                    False  # other modules have the numbers in between; code may have the name from elsewhere
                )
            alike.setdefault(_NUMBER.sub("", new), set()).add((old, new))
        for pairs in alike.values():
            if len(pairs) > 1 and any(old != new for old, new in pairs):
                return False
    return True
