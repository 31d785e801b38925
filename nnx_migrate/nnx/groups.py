"""Classes that move together, with all that becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.linen.programs.constructions.references import ClassReference
from nnx_migrate.linen.programs.instance import Instance, Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.linen_copies import Copies, is_copy
from nnx_migrate.nnx.programs.constructions import (
    BRIDGING_HELPER,
    CACHING_HELPER,
    HELPER,
    LISTING,
    SHARING_HELPER,
)
from nnx_migrate.nnx.programs.handed_factories import HandedFactories
from nnx_migrate.nnx.programs.renames import Other
from nnx_migrate.nnx.programs.sizes import Sizes
from nnx_migrate.nnx.writer.naming import Naming
from nnx_migrate.sources.text import Edit

Blocked = tuple[LinenClass, Obstacle]


@dataclass
class Group:
    """Connected classes that move together, with the modules that programs make of them; or such as stay.

    `obstacles` are all that stand in the way of classes that stay, each with its class; `causes` has for each of
    these classes the one that a person should look at: its own, or that of the nearest class that it moves with.
    """

    classes: list[LinenClass]
    can_move: bool
    conversions: list[ClassConversion] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    values: list[ClassValue] = field(default_factory=list)
    made: list[Instance] = field(default_factory=list)  # by calls of `values`
    sizes: dict[Instance, Sizes] = field(default_factory=dict)
    obstacles: list[Blocked] = field(default_factory=list)
    causes: dict[LinenClass, Blocked] = field(default_factory=dict)
    names: list[tuple[Module, Edit]] = field(default_factory=list)
    #: Files whose counting of parameters has been rewritten.
    counting: list[Module] = field(default_factory=list)
    handed: list[HandedFactories] = field(default_factory=list)
    copies: Copies = field(default_factory=Copies)
    bridged: frozenset[LinenClass] = frozenset()  # those that NNX modules hold in their Linen form

    @property
    def has_lists_as_linen(self) -> bool:
        """Whether programs know the modules of its lists by Linen's names."""
        return any(conversion.naming is Naming.LISTS_AS_LINEN for conversion in self.conversions)

    def could_move(self, cls: LinenClass) -> bool:
        """Whether a class that stays converts, and no text or file that isn't given may mean it."""
        hidden = any(c is cls and o.reason == "hidden-use" for c, o in self.obstacles)
        return not hidden and not is_copy(cls) and any(c.cls is cls for c in self.conversions)

    def helper(self, cls: LinenClass) -> str:
        """The helper that programs use a class by: some are called in their initialisation, too."""
        (conversion,) = [c for c in self.conversions if c.qualified == cls.qualified]
        prefix = LISTING if self.has_lists_as_linen else ""
        if conversion.is_lazy:
            return prefix + BRIDGING_HELPER
        made = self.conversions if conversion.takes_modules else [conversion]
        caching = any(c.makes_caches for c in made)
        return prefix + (CACHING_HELPER if caching else HELPER)

    def helper_of(self, reference: ClassReference) -> str:
        """The helper that a construction, or a class used as a value, goes by: modules may share parts, too."""
        shares = any(instance.shares for instance in self.instances if instance.reference is reference)
        return SHARING_HELPER if shares else self.helper(reference.cls)

    def as_others(self) -> list[Other]:
        """Its classes as the names of parameters in other groups see them."""
        conversions = {c.qualified: c for c in self.conversions} if self.can_move else {}
        return [Other(cls, conversions.get(cls.qualified)) for cls in self.classes]

    def sharing(self) -> Iterator[Blocked]:
        """Modules whose parts may hold the same one, where other helpers than that for such would be needed, too."""
        if not self.has_lists_as_linen and not any(c.is_lazy or c.makes_caches for c in self.conversions):
            return
        for instance in self.instances:
            if instance.shares:
                where, detail = instance.reference, "modules that it gets may hold the same one"
                yield instance.cls, Obstacle("shared-module", detail, where.module, where.node)
