"""Lists of layers of which comprehensions make some: `[*[Block() for _ in range(n)], nn.LayerNorm()]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MixedList:
    """A list of modules that is written out, but for the `ModuleList`s among its items, which are spread."""

    items: tuple[Any, ...]
