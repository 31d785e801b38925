"""Lists of layers of which loops or comprehensions make some: `[*[Block() for _ in range(n)], nn.LayerNorm()]`.

layers = [Block(self.width, strides=2)]
for _ in range(1, self.depth):
    layers.append(Block(self.width))
self.layers = layers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.values import ModuleList


@dataclass(frozen=True)
class MixedList:
    """A list of modules that is written out, but for the `ModuleList`s among its items, which are spread."""

    items: tuple[Any, ...]


def joined(*lists: Any) -> MixedList | None:
    """The items of several lists, one after the other, where loops make some of them; None for anything else."""
    items: list[Any] = []
    for one in lists:
        if isinstance(one, MixedList):
            items += one.items
        elif isinstance(one, ModuleList) and not one.keyed:
            items.append(one)
        elif isinstance(one, tuple | list):
            items += one
        else:
            return None
    return MixedList(tuple(items)) if any(isinstance(item, ModuleList) for item in items) else None


def module_at(modules: MixedList, index: int) -> Any:
    """The item at a place in front of what loops have made, or counted from behind it; None for others."""
    items = modules.items if index >= 0 else modules.items[::-1]
    place = index if index >= 0 else -index - 1
    if place >= len(items) or any(isinstance(item, ModuleList) for item in items[: place + 1]):
        return None
    return items[place]


def without_ends(modules: MixedList, start: int | None, stop: int | None) -> Any:
    """`modules[start:stop]`, where that leaves out no more than items at the ends; None for others."""
    first, last = start or 0, -(stop or 0)
    if first < 0 or last < 0 or first + last > len(modules.items):
        return None
    rest = modules.items[first : len(modules.items) - last]
    left = (*modules.items[:first], *modules.items[len(modules.items) - last :])
    if any(isinstance(item, ModuleList) for item in left):
        return None
    if len(rest) == 1 and isinstance(rest[0], ModuleList):
        return rest[0]
    return MixedList(rest) if any(isinstance(item, ModuleList) for item in rest) else list(rest)
